"""The catalogue is complete, and what it names exists."""

import importlib
import inspect
import pkgutil
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import optlib
from optlib.catalogue import CATALOGUE
from optlib.engine import Optimizer

ROOT = Path(__file__).parents[1]
SECTIONS = {"optimizers", "schedules", "regularization", "large_batch", "gpu", "beyond"}
each_row = pytest.mark.parametrize("row", CATALOGUE, ids=[row.name for row in CATALOGUE])


def classes():
    for module in pkgutil.walk_packages(optlib.__path__, "optlib."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, Optimizer) and cls is not Optimizer:
                yield cls


def test_every_optimizer_class_has_its_row():
    listed = {row.optimizer for row in CATALOGUE}
    assert {cls.__name__ for cls in classes() if cls not in listed} == set()


def test_no_rule_has_two_rows():
    names = [row.name for row in CATALOGUE]
    assert len(names) == len(set(names))


@each_row
def test_a_row_is_frozen(row):
    with pytest.raises(FrozenInstanceError):
        row.paper = "another"


@each_row
def test_page_and_exercise_have_the_name_of_the_file(row):
    module = inspect.unwrap(row.rule).__module__.removeprefix("optlib.").replace(".", "/")
    assert row.page == module
    assert row.exercise in (None, row.page)
    assert row.page.split("/")[0] in SECTIONS


@each_row
def test_the_class_drives_the_rule_with_the_rules_defaults(row):
    if row.optimizer is None:
        return
    arguments = inspect.signature(row.rule).parameters.values()
    defaults = {a.name: a.default for a in arguments if a.kind is a.KEYWORD_ONLY}
    assert defaults.items() <= row.optimizer.hyper.items()


@each_row
def test_the_twin_exists_and_takes_the_translated_hyperparameters(row):
    if row.twin is None:
        return
    accepted = inspect.signature(row.twin.load()).parameters
    assert row.twin.translate(row.optimizer.hyper).keys() <= accepted.keys()


@each_row
def test_the_paper_is_in_the_bibliography(row):
    bibliography = ROOT / "book" / "references.bib"
    if not (ROOT / "book" / f"{row.page}.md").exists():
        pytest.skip("no page cites it yet")
    keys = re.findall(r"^@\w+\{([^,]+),", bibliography.read_text(encoding="utf-8"), re.M)
    assert row.paper in keys


@each_row
def test_the_docstring_says_its_conventions(row):
    text = inspect.getdoc(row.rule)
    if row.optimizer or row.page.startswith("schedules/"):
        assert "Conventions: " in text
    assert text.splitlines()[0].endswith((".", ")", ":"))
