"""How long an optimizer's step takes, beside torch's own, and against the memory's speed.

Every round times one step of each competitor, one after the other, so that whatever else the
machine does slows all of them; what is reported is the median over the rounds of the ratio within
a round. See also: make bench.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime

import numpy as np
import torch
from tqdm import tqdm

from experiments.measure import plain, write
from experiments.provenance import ROOT, code_hash, processor, versions
from optlib.beyond.adagrad import Adagrad
from optlib.beyond.lion import Lion
from optlib.large_batch.lamb import LAMB
from optlib.large_batch.lars import LARS
from optlib.optimizers.adam import Adam, AdamW
from optlib.optimizers.momentum import Momentum
from optlib.optimizers.rmsprop import RMSprop
from optlib.optimizers.sgd import SGD

RESULT = ROOT / "experiments" / "results" / "performance.json"
FEWEST, LONGEST = 7, 20  # rounds; seconds after which no further round is begun
LR = 1e-6  # the weights hardly move: no step is slowed by numbers that overflow or vanish


REFERENCES = ("fused", "foreach", "loop", "compiled Adam")


def transformer(width=512, layers=7, words=6144):
    """The shapes of a transformer of about 25 million parameters."""
    one = [(width,)] * 4 + [(3 * width, width), (3 * width,), (width, width), (width,)]
    one += [(4 * width, width), (4 * width,), (width, 4 * width), (width,)]
    return [(words, width), (512, width)] + one * layers + [(width,)] * 2


SETS = {
    "400 small": [(64, 64), (64,), (32, 3, 3, 3), (128,)] * 100,
    "1,000 tiny": [(32, 32)] * 1000,
    "one of 1 M": [(1 << 20,)],
    "transformer": transformer(),
}
# optimizer: (ours, torch's own, what torch is told, whether it has a fused one,
#             bytes that have to move per float32 parameter)
OPTIMIZERS = {
    "AdamW": (AdamW, torch.optim.AdamW, {}, True, 28),
    "Adam": (Adam, torch.optim.Adam, {}, True, 28),
    "SGD": (SGD, torch.optim.SGD, {}, True, 12),
    "momentum": (Momentum, torch.optim.SGD, {"momentum": 0.9}, True, 20),
    "RMSprop": (RMSprop, torch.optim.RMSprop, {}, False, 20),
    "Adagrad": (Adagrad, torch.optim.Adagrad, {}, True, 20),
    "Lion": (Lion, None, {}, False, 20),
    "LARS": (LARS, None, {}, False, 28),
    "LAMB": (LAMB, None, {}, False, 40),
}


def code():
    """Return a hash of what the times depend on: this file, the rules, the engines."""
    digest = hashlib.sha256(code_hash("performance").encode())
    digest.update((ROOT / "optlib" / "compiled.py").read_bytes())
    return digest.hexdigest()[:16]


def parameters(shapes, gradients):
    params = [torch.randn(shape, requires_grad=True) for shape in shapes]
    for w, g in zip(params, gradients):
        w.grad = g
    return params


def competitors(name, shapes):
    """Return name -> optimizer; ours named eager and compiled."""
    ours, theirs, told, has_fused, _ = OPTIMIZERS[name]
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]
    found = {
        "eager": ours(parameters(shapes, gradients), lr=LR),
        "compiled": ours(parameters(shapes, gradients), lr=LR, impl="compile"),
    }
    if theirs is None:
        found["compiled Adam"] = Adam(parameters(shapes, gradients), lr=LR, impl="compile")
        return found
    found["loop"] = theirs(parameters(shapes, gradients), lr=LR, foreach=False, **told)
    found["foreach"] = theirs(parameters(shapes, gradients), lr=LR, foreach=True, **told)
    if has_fused:
        found["fused"] = theirs(parameters(shapes, gradients), lr=LR, fused=True, **told)
    return found


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def race(name, shapes, rounds):
    """Return (seconds of the first compiled step, competitor -> seconds, one per round)."""
    entered = competitors(name, shapes)
    first = timed(entered["compiled"].step)
    memory = torch.rand(sum(torch.Size(shape).numel() for shape in shapes))
    steps = {who: optimizer.step for who, optimizer in entered.items()}
    # Scaling in place reads and writes each byte once. A copy also reads what it overwrites.
    steps["scale in place"] = lambda: memory.mul_(0.999)
    for step in steps.values():
        for _ in range(3):
            step()
    seconds = {who: [] for who in steps}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= FEWEST and time.perf_counter() - start > LONGEST:
            break
        for who, step in steps.items():
            seconds[who].append(timed(step))
    return first, {who: np.array(s) for who, s in seconds.items()}


def quartiles(values):
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"median": float(median), "low": float(low), "high": float(high)}


def rows(threads, rounds, only):
    """Yield a row for every optimizer, competitor and set of parameters."""
    torch.set_num_threads(threads)
    todo = [(name, kind) for kind in SETS for name in only]
    for name, kind in tqdm(todo, unit="race", desc=f"{threads} threads"):
        shapes = SETS[kind]
        first, seconds = race(name, shapes, rounds)
        n = sum(torch.Size(shape).numel() for shape in shapes)
        moved = OPTIMIZERS[name][-1]
        scale = seconds.pop("scale in place")
        for who, times in seconds.items():
            to = {r: quartiles(times / seconds[r]) for r in REFERENCES if r in seconds}
            yield {
                "threads": threads, "set": kind, "tensors": len(shapes), "parameters": n,
                "optimizer": name, "engine": who, "rounds": len(times),
                "ms": quartiles(times * 1e3),
                "to": to | {"floor": quartiles(times / (scale * moved / 8))},
                "bytes_per_parameter": moved,
                "scale_GB_per_s": float(8 * n / np.median(scale) / 1e9),
                "first_step_s": first if who == "compiled" else None,
            }  # fmt: skip


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m experiments.performance", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=31, help="steps of each competitor (31)")
    parser.add_argument("--quick", action="store_true", help="5 rounds of AdamW and LAMB")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, os.cpu_count()], help="1 and all cores"
    )
    parser.add_argument("--out", default=str(RESULT), help="the file to write")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None):
    chosen = arguments(argv)
    only = ["AdamW", "LAMB"] if chosen.quick else list(OPTIMIZERS)
    rounds = 5 if chosen.quick else chosen.rounds
    if chosen.part:  # one number of threads: it is compiled in
        print(json.dumps(plain(list(rows(chosen.threads[0], rounds, only)))))
        return
    before, start, load, found = code(), time.perf_counter(), os.getloadavg()[0], []
    for threads in sorted(set(chosen.threads)):
        with tempfile.TemporaryDirectory() as cache:  # the first step compiles
            command = [sys.executable, "-m", "experiments.performance", "--part"]
            command += ["--rounds", str(rounds), "--threads", str(threads)]
            run = subprocess.run(
                command + ["--quick"] * chosen.quick,
                cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True,
                env=os.environ
                | {"TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip
        found += json.loads(run.stdout)
    if code() != before:
        raise RuntimeError("the code changed while it was measured; run it again")
    result = {
        "experiment": "performance",
        "code": before,
        "settings": {"rounds": rounds, "seeds": [0], "quick": chosen.quick, "dtype": "float32"},
        "versions": versions(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": {"before": load, "after": os.getloadavg()[0]},
        "date": datetime.now(UTC).date().isoformat(),
        "duration_s": round(time.perf_counter() - start, 1),
        "rows": [{k: rounded(v) for k, v in row.items()} for row in found],
    }
    write(type(RESULT)(chosen.out), result)


def rounded(x):
    """Four digits are more than such a measurement has."""
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return float(f"{x:.4g}") if isinstance(x, float) else x


if __name__ == "__main__":
    main()
