"""Run the experiments and write their results, each with where it comes from.

A result that is current (code, settings, versions) is left alone; one that is not is made again.
What is killed loses the experiments in progress only. See also: make measure.
"""

import argparse
import ast
import json
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing import get_context

from experiments.provenance import ROOT, code_hash, dependencies, processor, versions

FEW, MANY = 5, 20  # seeds, where the experiment does not say


def experiments(root=ROOT):
    """Return the names of all experiments: files that define `run(seeds, full=False)`.

    A long one names its PARTS and defines `run(seeds, full=False, part=None)`: the rows of one
    part, so that all cores share the work. Its result is the parts' rows, in the order of PARTS.
    """
    return [p.stem for p in sorted((root / "experiments").glob("*.py")) if _runs(p)]


def _runs(path):
    return any(
        isinstance(node, ast.FunctionDef)
        and node.name == "run"
        and [a.arg for a in node.args.args] in (["seeds", "full"], ["seeds", "full", "part"])
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )


def result_path(name, full=False, root=ROOT):
    return root / "experiments" / "results" / f"{name}{'.full' if full else ''}.json"


def settings(name, full=False):
    """Return what the numbers depend on besides code and versions."""
    module = import_module(f"experiments.{name}")
    few, many = getattr(module, "SEEDS", (FEW, MANY))  # (0, 0): nothing in it is random
    chosen = {"full": full, "seeds": list(range(many if full else few))}
    if "optlib/corpus.py" in dependencies(name):
        corpus = import_module("optlib.corpus")
        chosen["corpus_sha256"] = corpus.sha256(corpus.documentation())
    return chosen


def provenance(name, full=False):
    """Return what makes a result current: all that is the same in a run that repeats it."""
    return {"code": code_hash(name), "settings": settings(name, full), "versions": versions()}


def is_current(name, full=False):
    """Say whether the result on disk is of this code, these settings and these versions."""
    try:
        result = json.loads(result_path(name, full).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    return all(result.get(key) == value for key, value in provenance(name, full).items())


def parts(name):
    """Return what an experiment may be divided into; (None,): it is not."""
    return getattr(import_module(f"experiments.{name}"), "PARTS", (None,))


def measure(name, full=False):
    """Run one experiment and write its result; return the seconds it took."""
    before = provenance(name, full)
    return finish(name, full, before, [run_part(name, full, part) for part in parts(name)])


def run_part(name, full, part):
    """Run one part of an experiment; return its rows and the seconds it took."""
    more = {} if part is None else {"part": part}
    start = time.perf_counter()
    rows = import_module(f"experiments.{name}").run(
        settings(name, full)["seeds"], full=full, **more
    )
    return plain(list(rows)), time.perf_counter() - start


def finish(name, full, before, done):
    """Write the result of an experiment whose parts are `done`; return the seconds they took."""
    if code_hash(name) != before["code"]:
        raise RuntimeError(f"{name}: its code changed while it ran; run it again")
    seconds = sum(took for _, took in done)
    write(
        result_path(name, full),
        {
            "experiment": name,
            **before,
            "processor": processor(),
            "date": datetime.now(UTC).date().isoformat(),
            "duration_s": round(seconds, 1),
            "rows": [row for rows, _ in done for row in rows],
        },
    )
    return seconds


def plain(x):
    """Return `x` in JSON's types: NumPy's numbers as Python's, what is not finite as null."""
    if isinstance(x, dict):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [plain(value) for value in x]
    if hasattr(x, "tolist"):
        return plain(x.tolist())
    return None if isinstance(x, float) and not math.isfinite(x) else x


def write(path, result):
    """Write all of a result or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def arguments(argv, names):
    parser = argparse.ArgumentParser(
        prog="python -m experiments.measure", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help=f"this one; may be repeated. {names}"
    )
    parser.add_argument("--full", action="store_true", help="larger settings, more seeds")
    parser.add_argument("--again", action="store_true", help="run even what is current")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes; all cores")
    chosen = parser.parse_args(argv)
    if unknown := sorted(set(chosen.only or ()) - set(names)):
        parser.error(f"no experiment is called {', '.join(unknown)}; there are {', '.join(names)}")
    return chosen


def main(argv=None):
    from tqdm import tqdm

    chosen = arguments(argv, experiments())
    names = chosen.only or experiments()
    stale = [n for n in names if chosen.again or not is_current(n, chosen.full)]
    for name in sorted(set(names) - set(stale)):
        print(f"{name}: current")
    if not stale:
        return 0
    stale.sort(key=lambda name: -_last_duration(name, chosen.full))  # the longest first
    os.environ["OMP_NUM_THREADS"] = "1"  # the processes share the cores
    failed = set()
    started = {name: provenance(name, chosen.full) for name in stale}
    done = {name: dict.fromkeys(parts(name)) for name in stale}
    pool = ProcessPoolExecutor(chosen.jobs, get_context("spawn"))
    with pool, tqdm(total=sum(map(len, done.values())), unit="part") as bar:
        running = {
            pool.submit(run_part, name, chosen.full, part): (name, part)
            for name in stale
            for part in done[name]
        }
        for future in as_completed(running):
            name, part = running[future]
            bar.update()
            try:
                done[name][part] = future.result()
                if name not in failed and None not in done[name].values():
                    took = finish(name, chosen.full, started[name], list(done[name].values()))
                    bar.write(f"{name}: {took:.1f} s")
            except Exception as error:  # the others go on
                failed.add(name)
                bar.write(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    return 1 if failed else 0


def _last_duration(name, full):
    try:
        return json.loads(result_path(name, full).read_text(encoding="utf-8"))["duration_s"]
    except (OSError, ValueError, KeyError):
        return math.inf


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; what was finished is kept")
