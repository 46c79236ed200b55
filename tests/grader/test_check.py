"""What a student sees of the visible checks, in a terminal and in a notebook."""

import subprocess
import sys

import nbformat
import pytest

from grader import check, sandbox
from grader.exercise import ROOT

RELEASE = ROOT / "exercises" / "optimizers" / "sgd.ipynb"
STEP = "def sgd_step(w, g, lr):\n    return w - lr * g"
UPHILL = STEP.replace("-", "+")


def written(path, **answers):
    notebook = nbformat.read(RELEASE, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    nbformat.write(notebook, path)
    return path


def said(path, capsys):
    status = check.main(path)
    return status, capsys.readouterr().out.splitlines()


def test_a_line_for_each_check_and_no_more(tmp_path, capsys):
    status, lines = said(written(tmp_path / "sgd.ipynb", sgd_step=STEP), capsys)
    assert status == 1
    told = [line for line in lines if line[:5].strip() in (check.HOLDS, check.FAILS, check.OPEN)]
    assert told == [
        "holds  sgd_step: walks downhill",
        "holds  sgd_step: leaves its inputs alone",
        "open   minibatch_gradient: is the mean over the batch",
        "open   minibatch_gradient: counts a repeated row twice",
    ]
    assert "2 of 4 checks hold" in lines[-1]


def test_what_fails_is_told_in_the_check_s_own_words(tmp_path, capsys):
    _, lines = said(written(tmp_path / "sgd.ipynb", sgd_step=UPHILL), capsys)
    after = lines[lines.index("FAILS  sgd_step: walks downhill") + 1]
    source = next(c.source for c in nbformat.read(RELEASE, 4).cells if "walks_downhill" in c.id)
    assert after.strip().split("[")[0][:20] in source


def test_the_answers_hold(capsys):
    for path in sorted((ROOT / "solutions").glob("*/*.ipynb")):
        status, lines = said(path, capsys)
        assert status == 0, lines


def test_edited_checks_are_the_released_ones_again(tmp_path, capsys):
    path = written(tmp_path / "sgd.ipynb", sgd_step=UPHILL, sgd_step_walks_downhill="1")
    assert "FAILS  sgd_step: walks downhill" in said(path, capsys)[1]


def test_another_name_is_known_by_its_functions(tmp_path, capsys):
    status, lines = said(written(tmp_path / "mine (2).ipynb", sgd_step=STEP), capsys)
    assert "holds  sgd_step: walks downhill" in lines


@pytest.mark.parametrize(("text", "says"), [("{", "damaged"), ('{"nbformat": 4}', "no cells")])
def test_what_is_no_notebook_is_said(tmp_path, capsys, text, says):
    (tmp_path / "sgd.ipynb").write_text(text)
    assert check.main(tmp_path / "sgd.ipynb") == 2
    assert says in capsys.readouterr().err
    assert check.main(tmp_path / "none.ipynb") == 2
    (tmp_path / "empty.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook()))
    assert check.main(tmp_path / "empty.ipynb") == 2


def test_the_command(tmp_path):
    path = written(tmp_path / "sgd.ipynb", sgd_step="import torch\ntorch.optim.SGD\n" + STEP)
    done = subprocess.run([sys.executable, "-m", "grader", "check", path], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1 and "uses torch.optim, which is refused" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_magic_takes_what_was_run(tmp_path):
    """In a real kernel, as a student would."""
    cells = [
        "%load_ext grader",
        "%check",
        "import numpy as np",
        UPHILL,
        STEP,
        "%check sgd_step",
        "%check nothing",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout"]
    done = subprocess.run([*command, tmp_path / "mine.ipynb"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    cells = nbformat.reads(done.stdout, as_version=4).cells
    outputs = ["".join(o.get("text", "") for o in c.outputs) for c in cells]
    assert "Run the cells with your answers first" in outputs[1]
    assert "holds  sgd_step: walks downhill" in outputs[5]
    assert "minibatch_gradient" not in outputs[5]
    assert "There is no check of 'nothing'" in outputs[6]


def test_without_a_jail_it_goes_on_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "_lacking", lambda: "no walls")
    _, lines = said(written(tmp_path / "sgd.ipynb", sgd_step=STEP), capsys)
    assert "There is no jail on this machine" in lines[0]
    assert "holds  sgd_step: walks downhill" in lines
