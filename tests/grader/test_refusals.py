"""What an answer may not import, by statement or by use; and what only looks like it."""

import nbformat
import pytest

from grader.refusals import refused, refused_in


@pytest.mark.parametrize(
    ("library", "source"),
    [
        ("optlib", "import optlib"),
        ("optlib", "from optlib.optimizers.adam import adam"),
        ("optlib", "def f():\n    from optlib import engine"),
        ("optlib", "import importlib\nimportlib.import_module('optlib.optimizers.adam')"),
        ("optlib", "__import__('optlib')"),
        ("optlib", "exec('import optlib')"),
        ("torch.optim", "import torch.optim as o"),
        ("torch.optim", "from torch import optim"),
        ("torch.optim", "from torch.optim import *"),
        ("torch.optim", "import torch\ndef f(w):\n    return torch.optim.SGD([w], lr=1)"),
        ("torch.optim", "import torch as T\nT.optim.Adam"),
        ("torch.optim", "import torch\nt = torch\nt.optim.Adam"),
        ("torch.optim", "import torch\ngetattr(torch, 'optim').SGD"),
        ("torch.optim", "import torch\ntorch.__dict__['optim']"),
        ("torch.optim", "import sys\nsys.modules['torch.optim'].SGD"),
        ("torch.optim", "torch._fused_adamw_(a, b)"),
        ("torch.optim", "%timeit 1\nimport torch.optim"),
        ("optax", "import optax"),
        ("keras.optimizers", "import keras\nkeras.optimizers.Adam()"),
        ("jax.example_libraries.optimizers", "from jax.example_libraries import optimizers"),
    ],
)
def test_refused_by_name(library, source):
    assert refused(source) == library


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import torch\nw = torch.tensor([1.0]) - 0.1 * torch.ones(1)",
        "# optlib and torch.optim do this for you",
        "note = 'torch.optim.SGD does the same; import optlib'",
        "solutions = []\nsolutions.append(1)",
        "class Walk:\n    optim = 1\nwalk = Walk()\nwalk.optim",
        "grader = {}\ngrader.get('timm')",
        "def f(optax):\n    return optax.shape",
        "import numpy as np\nnp.linalg.norm([1])",
        "this does not parse (",
    ],
)
def test_legal(source):
    assert refused(source) is None


def test_an_alias_made_in_one_cell_is_followed_in_the_next():
    cells = [nbformat.v4.new_code_cell(s) for s in ("import torch as T", "x = 1", "T.optim.SGD")]
    assert refused_in(cells) == ("torch.optim", 3)
    assert refused_in(cells[:2]) is None
