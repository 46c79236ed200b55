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
SECTIONS_OF_RULES = SECTIONS - {"gpu"}
# Public functions that are no rules: a part of one, or what hands it to torch, and which.
PARTS = {
    "optlib.schedules.adapter": {"factor": "lambda_lr", "lambda_lr": "every schedule"},
    "optlib.regularization.dropout": {"drop": "dropout"},
    "optlib.regularization.batchnorm": {"normalize": "batch_norm", "moments": "batch_norm"},
    "optlib.regularization.clipping": {
        "global_norm": "clip_by_global_norm",
        "clip_gradients": "clip_by_global_norm",
    },
    "optlib.large_batch.accumulation": {"weighted_mean": "accumulated_gradient"},
    "optlib.large_batch.lars": {"lars_or_momentum": "lars"},
    "optlib.large_batch.lamb": {"lamb_or_adamw": "lamb"},
    "optlib.beyond.muon": {"orthogonalize": "muon"},
    "optlib.beyond.schedule_free": {
        "between": "both",
        "first": "both",
        "warmup_and_share": "both",
    },
}
each_row = pytest.mark.parametrize("row", CATALOGUE, ids=[row.name for row in CATALOGUE])


def classes():
    for module in pkgutil.walk_packages(optlib.__path__, "optlib."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, Optimizer) and cls is not Optimizer:
                yield cls


def test_every_optimizer_class_has_its_row():
    listed = {row.optimizer for row in CATALOGUE}
    assert {cls.__name__ for cls in classes() if cls not in listed} == set()


def public():
    """Yield (module name, name, value) of all that the sections state for the outside."""
    for module in pkgutil.walk_packages(optlib.__path__, "optlib."):
        if module.name.split(".")[1] in SECTIONS_OF_RULES:
            for name, value in vars(importlib.import_module(module.name)).items():
                here = getattr(value, "__module__", None) == module.name
                if here and callable(value) and not name.startswith("_"):
                    yield module.name, name, value


def test_all_that_is_public_has_its_row_or_is_named_as_a_part():
    listed = {inspect.unwrap(row.rule) for row in CATALOGUE}
    listed |= {row.optimizer for row in CATALOGUE} | {row.layer for row in CATALOGUE}
    unlisted = {
        (where, name) for where, name, value in public() if inspect.unwrap(value) not in listed
    }
    assert unlisted == {(where, name) for where, names in PARTS.items() for name in names}


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
