"""The corpus: the same text for all, or a clear word that it is another."""

import calendar
import json
import platform
import unittest.mock
from pathlib import Path

import numpy as np
import pytest

from optlib import corpus

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_sha256_of_text_and_bytes():
    assert corpus.sha256("") == corpus.sha256(b"") == EMPTY
    assert corpus.sha256("η") == corpus.sha256("η".encode())


def test_the_documentation_is_whole_and_the_same_at_every_call():
    text = corpus.documentation()
    assert len(text) > 300_000 and "assignment" in text
    assert (
        corpus.documentation() == text == corpus.load() == corpus.load(sha256=corpus.sha256(text))
    )


def test_the_documentation_of_python_3_11_7():
    if platform.python_version() != "3.11.7":
        pytest.skip("the documentation changes with the Python version")
    text = corpus.documentation()
    assert (len(text), len(set(text))) == (465_048, 103)
    assert corpus.sha256(text).startswith("2a95af4ac93f5b71")


def test_the_sources_are_pythons_own_without_tests():
    text = corpus.sources()
    assert len(text) > 8_000_000 and text == corpus.sources()
    assert Path(calendar.__file__).read_text(encoding="utf-8") in text
    assert Path(unittest.mock.__file__).read_text(encoding="utf-8") in text
    assert "class ComplexTest(ComplexesAreIdenticalMixin" not in text  # test/test_complex.py
    assert "import numpy as np\n" not in text  # what is installed beside it


def test_results_on_the_corpus_say_which_text_it_was():
    found = []
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        if digest := result.get("settings", {}).get("corpus_sha256"):
            found.append(path.stem)
            assert len(digest) == 64
            if result["versions"]["python"] == platform.python_version():
                assert digest == corpus.sha256(corpus.documentation()), path.name
    assert "rare_words" in found


def test_bytes():
    ids = corpus.byte_ids("aη")
    assert ids.tolist() == [97, 206, 183] and ids.dtype == np.int64
    assert bytes(ids.tolist()).decode() == "aη"
    assert len(corpus.byte_ids("")) == 0


def test_words_and_their_vocabulary():
    tokens = corpus.words("The cat, the dog; THE end.")
    assert tokens == ["the", "cat", ",", "the", "dog", ";", "the", "end", "."]
    assert corpus.vocabulary(tokens, 4) == ["<unknown>", "the", ",", "."]
    ids = corpus.word_ids(tokens, ["<unknown>", "the", "dog"])
    assert ids.tolist() == [1, 0, 0, 1, 2, 0, 1, 0, 0]


def test_a_vocabulary_does_not_depend_on_the_order_of_equals():
    assert corpus.vocabulary(["b", "a", "c"], 3) == corpus.vocabulary(["c", "b", "a"], 3)


def test_split_keeps_the_order_and_every_token():
    parts = corpus.split(np.arange(100), 0.8, 0.1)
    assert [len(p) for p in parts] == [80, 10, 10]
    assert np.concatenate(parts).tolist() == list(range(100))
    for shares in ((), (0.0,), (0.5, 0.5)):
        with pytest.raises(ValueError, match="shares are"):
            corpus.split(np.arange(10), *shares)


def test_a_path_with_and_without_a_checksum(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("größer\r\n".encode())
    digest = corpus.sha256(path.read_bytes())
    assert corpus.load(path) == corpus.load(str(path), sha256=digest.upper()) == "größer\r\n"
    with pytest.raises(ValueError, match=f"text.txt: its sha256 is {digest}, not {EMPTY}"):
        corpus.load(path, sha256=EMPTY)


def test_a_url_needs_a_checksum():
    with pytest.raises(ValueError, match="needs sha256="):
        corpus.load("https://example.org/text.txt")


def test_a_url_is_fetched_once_and_only_if_right(tmp_path, monkeypatch):
    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self):
            return b"text"

    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return Answer()

    monkeypatch.setattr(corpus.urllib.request, "urlopen", urlopen)
    url, cache = "https://example.org/text.txt", tmp_path / "cache"
    with pytest.raises(ValueError, match=f"not {EMPTY}"):
        corpus.load(url, EMPTY, cache)
    assert not cache.exists()
    for _ in range(2):
        assert corpus.load(url, corpus.sha256("text"), cache) == "text"
    assert asked == [url] * 2
    (cache / corpus.sha256("text")).write_bytes(b"torn")
    with pytest.raises(ValueError, match="another text, or was changed"):
        corpus.load(url, corpus.sha256("text"), cache)
