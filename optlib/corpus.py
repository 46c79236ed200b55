"""Text to measure on that needs no download: Python's documentation and code, as bytes or words.

The text changes with the Python version, so whoever uses it records its `sha256`. A larger one is
loaded from a path or a URL, and is the right one only if its checksum is.
"""

import hashlib
import os
import re
import sysconfig
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")
UNKNOWN = "<unknown>"


def documentation():
    """Return the help topics that come with Python: half a million letters of technical English."""
    from pydoc_data.topics import topics  # here: a Python in the browser may lack them

    return "\n".join(topics[name] for name in sorted(topics))


def sources():
    """Return the code of Python's standard library without its tests: some 12 million letters."""
    root = Path(sysconfig.get_path("stdlib"))
    apart = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.py"))
    ours = (n for n in names if not apart & {*n.split("/")} and "_sysconfigdata" not in n)
    return "\n".join((root / name).read_text(encoding="utf-8") for name in ours)


def sha256(text):
    """Return the checksum of a text (its UTF-8 bytes) or of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def load(source=None, sha256=None, cache="~/.cache/optlib"):
    """Return the text of a path or an http(s) URL; without `source`, Python's documentation.

    `sha256`, if given, is that of the file's bytes; a URL must come with one, and is fetched once,
    into `cache`. Raises ValueError where the checksum differs, or is missing from a URL.
    """
    if source is None:
        data = documentation().encode()
    elif re.match(r"https?://", str(source)):
        data = _fetch(str(source), sha256, Path(cache).expanduser())
    else:
        data = Path(source).read_bytes()
    _check(data, sha256, source or "Python's documentation")
    return data.decode()


def _fetch(url, expected, cache):
    if expected is None:
        raise ValueError(f"{url}: a text from a URL needs sha256=, or it may be any text")
    kept = cache / expected
    if not kept.exists():
        with urllib.request.urlopen(url, timeout=60) as answer:
            data = answer.read()
        _check(data, expected, url)
        cache.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"{expected}.{os.getpid()}")
        part.write_bytes(data)
        part.replace(kept)
    return kept.read_bytes()


def _check(data, expected, source):
    if expected is not None and (found := sha256(data)) != expected.lower():
        raise ValueError(
            f"{source}: its sha256 is {found}, not {expected}: it is another text, or was changed"
        )


def byte_ids(text):
    """Return the text's UTF-8 bytes as numbers below 256."""
    return np.frombuffer(text.encode(), np.uint8).astype(np.int64)


def words(text):
    """Return the words and punctuation marks of a text, in small letters."""
    return WORD.findall(text.lower())


def vocabulary(tokens, size):
    """Return the `size` - 1 most frequent tokens, the most frequent first, after "<unknown>".

    Equally frequent ones stand in alphabetical order: the vocabulary depends on nothing else.
    """
    counts = Counter(tokens)
    return [UNKNOWN, *sorted(counts, key=lambda token: (-counts[token], token))[: size - 1]]


def word_ids(tokens, vocabulary):
    """Return each token's place in the vocabulary, 0 for one that is not in it."""
    place = {token: i for i, token in enumerate(vocabulary)}
    return np.array([place.get(token, 0) for token in tokens], np.int64)


def split(ids, *shares):
    """Cut a sequence into consecutive parts, the last one being the rest: `split(ids, 0.8, 0.1)`.

    Neighbours resemble each other, so the parts are not shuffled into one another.
    """
    if not shares or min(shares) <= 0 or sum(shares) >= 1:
        raise ValueError(f"shares are {shares}; legal: above 0, below 1 together")
    return np.split(ids, (np.cumsum(shares) * len(ids)).round().astype(int))
