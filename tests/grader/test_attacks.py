"""Notebooks that want more than they deserve: no mark gained, nothing seen, nobody delayed.

Each is a whole submission of the SGD exercise. Its `sgd_step` climbs, its `minibatch_gradient` is
right: what it deserves is 0 and 3, less where it destroys its own process.
"""

import json
import re
import shutil
import sys
import time

import nbformat
import pytest

from grader import run, sandbox
from grader.exercise import ROOT, load

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("bwrap"), reason="no bubblewrap on this machine"
)
UPHILL = "def sgd_step(w, g, lr):\n    return w + lr * g"
BATCH = (
    "def minibatch_gradient(w, X, y, batch):\n"
    "    rows = X[batch]\n"
    "    return rows.T @ (rows @ w - y[batch]) / len(batch)"
)
FULL = '{"aspect": "a", "values": [], "changed": [], "raised": null, "missing": null}'
INSIDE = "def sgd_step(w, g, lr):\n    {}\n    return w + lr * g"
OWN = "import os, sys, json, builtins, inspect, gc, types, contextlib\n"

# name -> (cell that comes first, the answer)
ATTACKS = {
    # what compares
    "numpy.testing": (
        "import numpy.testing as t\nt.assert_allclose = t.assert_array_equal = t.assert_equal = "
        "np.allclose = np.array_equal = np.isclose = np.all = lambda *a, **k: True",
        UPHILL,
    ),
    "builtins": (
        "import builtins\nbuiltins.all = builtins.any = builtins.isinstance = lambda *a: True\n"
        "builtins.abs = builtins.round = lambda *a: 0\nbuiltins.AssertionError = type('A', (), {})",
        UPHILL,
    ),
    "asserts dropped": (
        "import ast\nclass Drop(ast.NodeTransformer):\n"
        "    def visit_Assert(self, node): return ast.Pass()\n"
        "get_ipython().ast_transformers.append(Drop())",
        UPHILL,
    ),
    "__array_function__": (
        "class Equal(np.ndarray):\n    def __array_function__(self, *a, **k): return True\n"
        "    def __eq__(self, other): return np.ones(self.shape, bool)\n"
        "    __sub__ = __rsub__ = lambda self, other: np.zeros(self.shape)",
        "def sgd_step(w, g, lr):\n    return np.asarray(w + lr * g).view(Equal)",
    ),
    "always equal": (
        "class Equal(float):\n    __eq__ = lambda *a: True\n    __float__ = lambda self: 0.0",
        "def sgd_step(w, g, lr):\n    return Equal(1.0)",
    ),
    "nan": ("", "def sgd_step(w, g, lr):\n    return w * np.nan"),
    "infinity": ("", "def sgd_step(w, g, lr):\n    return w + np.inf"),
    "shape": ("", "def sgd_step(w, g, lr):\n    return np.array([w - lr * g])"),
    "object array": ("", "def sgd_step(w, g, lr):\n    return np.array([w, g], object)"),
    "nothing": ("", "def sgd_step(w, g, lr):\n    return None"),
    # what asks
    "the probe": (
        OWN + "for name in 'probe', '__main__':\n    m = sys.modules.get(name)\n"
        f"    if m: m.hand_out = m.answers = lambda *a: '[{FULL}]' and []\n"
        "import probe\nprobe.encoded = lambda *a: {'array': ['<f8', [], 'AAAAAAAA8D8=']}\n"
        "probe._ask = lambda a, s, r: {'aspect': a.__name__, 'values': [], 'changed': [], "
        "'raised': None, 'missing': None}",
        UPHILL,
    ),
    "json.dumps": (
        OWN + f"json.dumps = lambda *a, **k: '{{\"answers\": \"[{FULL}]\", \"to\": 9}}'", UPHILL),
    "base64": (OWN + "import base64\nbase64.b64encode = lambda raw: b'AAAAAAAAAAA='", UPHILL),
    "default_rng": ("np.random.default_rng = lambda *a: None", UPHILL),
    "run_cell": (
        "get_ipython().run_cell = get_ipython().run_code = lambda *a, **k: None", UPHILL),
    "collected": (
        "get_ipython().collected = lambda s: {'outputs': [], 'count': 1}", UPHILL),
    "hooks": (
        "ip = get_ipython()\nip.events.register('pre_run_cell', lambda *a: print('5.0'))\n"
        "ip.events.register('post_run_cell', lambda *a: print('5.0'))\n"
        "ip.input_transformers_cleanup.append(lambda lines: ['sgd_step = lambda w, g, lr: w'])",
        UPHILL,
    ),
    "traceback off": ("get_ipython().showtraceback = lambda *a, **k: None", INSIDE.format("1 / 0")),
    "everything shown": ("get_ipython().ast_node_interactivity = 'all'", UPHILL),
    "warnings as marks": ("import warnings\nwarnings.warn('5.0')", UPHILL),
    "frames": (
        OWN,
        INSIDE.format(
            "f = sys._getframe()\n    while f:\n"
            "        for k, v in list(f.f_locals.items()):\n"
            "            if isinstance(v, list): v.clear()\n"
            "            if k == 'told': v.update(values=[], raised=None, missing=None)\n"
            "        f = f.f_back"
        ),
    ),
    "generator closed": (OWN, INSIDE.format("raise GeneratorExit")),
    "stop iteration": (OWN, INSIDE.format("raise StopIteration")),
    "settings": (OWN + "inspect.signature = lambda *a, **k: types.SimpleNamespace(parameters={})",
                 UPHILL),
    "exec": (OWN + "builtins.exec = builtins.compile = lambda *a, **k: None", UPHILL),
    # forged outputs
    "prints a verdict": (OWN, INSIDE.format("print('5.0'); print('sgd_step is right.')")),
    "displays a verdict": (
        "from IPython.display import display, HTML\ndisplay(HTML('<strong>right</strong>'))\n5.0",
        INSIDE.format("display({'text/plain': '2.0'}, raw=True)"),
    ),
    "writes to every descriptor": (
        OWN,
        INSIDE.format(
            f"x = b'{{\"answers\": \"[{FULL}]\", \"to\": 9}}\\n'\n"
            "    for fd in range(256):\n        with contextlib.suppress(OSError): os.write(fd, x)"
        ),
    ),
    "closes every descriptor": (OWN, INSIDE.format("os.closerange(0, 256)")),
    "patches the socket": (
        OWN + "import socket\nfor o in gc.get_objects():\n"
        "    if isinstance(o, socket.socket): o.close()",
        UPHILL,
    ),
    "metadata": (
        "get_ipython().display_pub.publish({'text/plain': '2'}, metadata={'nbgrader': "
        "{'grade': True, 'points': 100, 'grade_id': 'sgd_step_hidden', 'score': 100}})",
        UPHILL,
    ),
    # answers from elsewhere
    "optlib": ("from optlib.optimizers.sgd import sgd as sgd_step", ""),
    "solution": ("%run ../../../solutions/optimizers/sgd.py", ""),
    "solution by path": (
        OWN + "for p in sys.path + ['/', '/work', '/root', '..', '../..']:\n"
        "    f = os.path.join(p, 'solutions/optimizers/sgd.py')\n"
        "    if os.path.exists(f): exec(open(f).read())",
        "",
    ),
    "gradebook": (
        "import sqlite3\nd = sqlite3.connect('../../../gradebook.db')\n"
        "d.execute('update grade set manual_score = 2')\nd.commit()",
        UPHILL,
    ),
    "the judge": ("from grader import judge", UPHILL),
    "the judge by name": (
        "__import__('importlib').import_module('gra' + 'der.judge')", UPHILL),
    "torch by another name": (
        "t = __import__('torch')\no = getattr(t, 'op' + 'tim')\nprint(o.SGD)", UPHILL),
    "an optimizer from the heap": (
        OWN + "import torch\nOptimizer = next(c for c in gc.get_objects() if isinstance(c, type) "
        "and c.__name__ == 'Optimizer' and 'torch' in c.__module__)\n"
        "SGD = next(c for c in Optimizer.__subclasses__() if c.__name__ == 'SGD')",
        "def sgd_step(w, g, lr):\n    p = torch.tensor(w, requires_grad=True)\n"
        "    p.grad = torch.tensor(g)\n    SGD([p], lr=lr).step()\n    return p.detach().numpy()",
    ),
    "other submissions": (
        OWN + "for root, _, files in os.walk('/'):\n"
        "    if 'sgd.ipynb' in files: print(open(os.path.join(root, 'sgd.ipynb')).read())",
        UPHILL,
    ),
    "memory of others": (
        OWN + "for p in range(1, 1000):\n"
        "    try: print(open(f'/proc/{p}/mem', 'rb').read(10))\n    except OSError: pass",
        UPHILL,
    ),
    "the network": (
        OWN + "import socket\nfor port in 80, 443, 8786, 8888:\n    with "
        "contextlib.suppress(OSError): print(socket.create_connection(('127.0.0.1', port), 1))",
        UPHILL,
    ),
    # what is left behind
    "threads": (
        "import threading, time\ndef stay():\n    while True:\n        print('here')\n"
        "        time.sleep(0.01)\n"
        "for _ in range(8): threading.Thread(target=stay, daemon=True).start()",
        UPHILL,
    ),
    "a thread that swaps": (
        "import threading, time\ndef swap():\n    while True:\n"
        "        for n in list(globals()):\n            if n == 'told': globals()[n] = {}\n"
        "        time.sleep(0)\nthreading.Thread(target=swap, daemon=True).start()",
        UPHILL,
    ),
    "atexit": ("import atexit\natexit.register(print, '5.0')", UPHILL),
    "__del__": ("class D:\n    def __del__(self): print('5.0')\nd = [D()] * 9", UPHILL),
    "signals": (
        "import signal\nfor s in 2, 10, 14, 15:\n    signal.signal(s, lambda *a: print('5.0'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)",
        UPHILL,
    ),
    "a symlink out": (
        OWN + f"os.symlink({str(ROOT)!r}, 'course'); os.symlink('/proc', 'p')\n"
        "os.symlink('/', 'root')\nprint(os.listdir('root'))\nprint(os.listdir('course'))",
        UPHILL,
    ),
    "a child that stays": (
        OWN + "if os.fork() == 0:\n    os.setsid()\n    while True: pass", UPHILL),
    "deletes all it can": ("!rm -rf /* ~ /tmp/* . 2>/dev/null", UPHILL),
    # the machine: what is lost is the attacker's own
    "exits": ("import sys", INSIDE.format("sys.exit(0)")),
    "leaves": (OWN, INSIDE.format("os._exit(0)")),
    "leaves in a cell": (OWN + "os._exit(0)", UPHILL),
    "kills": (OWN, INSIDE.format("os.kill(os.getpid(), 9); os.abort()")),
    "loops": ("", INSIDE.format("while True: pass")),
    "loops in C": ("", INSIDE.format("sum(iter(int, 1))")),
    "loops and swallows": (
        "", "def sgd_step(w, g, lr):\n    while True:\n        try:\n            while True: pass\n"
            "        except BaseException: pass"),
    "sleeps": ("import time", INSIDE.format("time.sleep(100)")),
    "recursion": (OWN, INSIDE.format("sys.setrecursionlimit(10**9); sgd_step(w, g, lr)")),
    "forks": (OWN, INSIDE.format("[os.fork() for _ in range(20)]")),
    "50 GB": ("", INSIDE.format("np.ones(50 << 27)")),
    "floods": ("", INSIDE.format("print('x' * 10**7)")),
    "floods a cell": ("for _ in range(10**4): print('x' * 10**4)", UPHILL),
    "fills the disk": ("f = open('x', 'w')\nfor _ in range(100): f.write('x' * 10**7)", UPHILL),
    "segfault": ("import ctypes", INSIDE.format("ctypes.string_at(0)")),
    "raises its own": (
        OWN, INSIDE.format("raise type('R' + 'x' * 10**6, (BaseException,), {})('x' * 10**7)")),
    "huge answer": ("", "def sgd_step(w, g, lr):\n    return np.zeros(10**7)"),
    "deep answer": (
        "", "def sgd_step(w, g, lr):\n    for _ in range(10**5): w = [w]\n    return w"),
    "endless answer": (
        "", "class E(list):\n    def __iter__(self):\n        while True: yield 1.0\n"
            "def sgd_step(w, g, lr):\n    return E([1])"),
}  # fmt: skip


@pytest.fixture(scope="module")
def zygote():
    with sandbox.Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def release():
    return nbformat.read(ROOT / "exercises" / "optimizers" / "sgd.ipynb", as_version=4)


def handed_in(release, folder, first, step):
    notebook = nbformat.from_dict(json.loads(nbformat.writes(release)))
    for cell in notebook.cells:
        cell.source = {"sgd_step": step, "minibatch_gradient": BATCH}.get(cell.id, cell.source)
    notebook.cells.insert(2, nbformat.v4.new_code_cell(first, id="first"))
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / "sgd.ipynb")
    return folder / "sgd.ipynb"


def shingles(text, size=8):
    words = re.findall(r"\w+", text)
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


@pytest.fixture(scope="module")
def secrets(release):
    """Runs of eight words that only a hidden question or an answer of ours holds."""
    exercise = load("optimizers", "sgd")
    known = shingles("\n".join(c.source for c in release.cells) + UPHILL + BATCH)
    hidden = "\n".join([*exercise.solves.values(), *(p.source for p in exercise.probes)])
    return shingles(hidden) - known


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_gains_or_sees_anything(attack, zygote, release, secrets, tmp_path):
    first, step = ATTACKS[attack]
    path = handed_in(release, tmp_path / "s" / "optimizers", first, step)
    began = time.monotonic()
    done = run.graded(path, "optimizers", "sgd", zygote)
    assert time.monotonic() - began < 60  # it ends
    nbformat.validate(done.notebook)
    assert done.verdicts["sgd_step_hidden"].earned == 0, done.verdicts["sgd_step_hidden"].sentence
    assert done.verdicts["minibatch_gradient_hidden"].earned in (0, 3)
    for verdict in done.verdicts.values():
        assert verdict.sentence
    outputs = [o for c in done.notebook.cells for o in c.get("outputs", [])]
    text = json.dumps(outputs) + done.notebook.cells[0].source
    assert not shingles(text) & secrets
    assert len(text) < 6_000_000


def test_whoever_comes_after_them_is_graded_as_ever(zygote, release, tmp_path):
    right = UPHILL.replace("+", "-")
    path = handed_in(release, tmp_path / "s" / "optimizers", "1", right)
    done = run.graded(path, "optimizers", "sgd", zygote)
    assert [v.earned for v in done.verdicts.values()] == [2, 3]
    assert not done.stops and not done.notes
