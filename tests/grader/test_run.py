"""What is kept of the outputs that a student's process sent."""

import json

import nbformat
import pytest

from grader import refusals, run

BAD = [
    {"output_type": "display_data", "data": None, "metadata": 7},
    {"output_type": "execute_result", "data": ["x"], "execution_count": "one"},
    {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}},
    {"output_type": "display_data", "data": {"text/plain": 7, "text/markdown": "a\ud800\x00b"}},
    {"output_type": "stream", "name": ["x"], "text": None},
    {"output_type": "error", "ename": 1, "evalue": None, "traceback": "text"},
    {"output_type": "comm_open"},
    {},
    None,
    ["output_type"],
]


def tidied(outputs, count=None):
    cell = nbformat.v4.new_code_cell("1")
    run._tidy(cell, {"outputs": outputs, "count": count})
    return cell


def test_whatever_a_process_sends_becomes_a_valid_notebook():
    cell = tidied(BAD, "many")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbformat.validate(notebook)
    text = json.dumps(notebook, ensure_ascii=False).encode("utf-8").decode()
    assert "alert" not in text and "\x00" not in text and "a?b" in text


@pytest.mark.parametrize("outputs", [None, 7, "text", {"output_type": "stream"}])
def test_outputs_that_are_no_list_are_none(outputs):
    assert tidied(outputs).outputs == []


def test_long_outputs_are_cut():
    line = {"output_type": "stream", "name": "stdout", "text": "x" * 400_000}
    outputs = tidied([line] * 50).outputs
    assert len(outputs) == 3 and "cut" in outputs[-1].text


@pytest.mark.parametrize("sentence", ["![a](attachment:b)", "[a](b)", "<b>", "*a* __b__"])
def test_a_sentence_is_shown_as_it_is(sentence):
    from html import unescape

    shown = run._code(sentence)
    assert unescape(shown) == sentence
    assert not set("[]*_<>") & set(shown)


def test_many_cells_are_searched_for_refused_libraries_in_bounded_time():
    cells = [nbformat.v4.new_code_cell("x = 1") for _ in range(900)]
    cells.append(nbformat.v4.new_code_cell("import torch as t"))
    cells.append(nbformat.v4.new_code_cell("t.optim.SGD"))
    assert refusals.refused_in(cells) == ("torch.optim", 902)
