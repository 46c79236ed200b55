"""Without torch every module imports and every rule runs: the reader's browser has none."""

import subprocess
import sys
import textwrap

BLOCKED = """
    import sys

    sys.modules["torch"] = None  # an import of it now raises ModuleNotFoundError
"""


def run(code):
    program = textwrap.dedent(BLOCKED) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# These are about torch modules, and hold no rule; nothing that a rule imports imports them.
TORCH_ONLY = {"optlib.compiled", "optlib.models", "optlib.training"}


def test_every_module_imports():
    imported = run(
        f"""
        import importlib, pkgutil, optlib

        for module in pkgutil.walk_packages(optlib.__path__, "optlib."):
            if module.name not in {TORCH_ONLY}:
                importlib.import_module(module.name)
                print(module.name)
        """
    )
    assert {"optlib.engine", "optlib.catalogue", "optlib.optimizers.adam"} <= set(imported.split())


def test_every_rule_runs_on_floats_and_arrays():
    ran = run(
        """
        import numpy as np
        from optlib.catalogue import CATALOGUE
        from optlib.printing.latex import equation

        for row in CATALOGUE:
            if row.optimizer is None:
                continue
            for start in (0.5, np.full((2, 3), 0.5)):
                if isinstance(start, float) and row.needs == "matrix":
                    continue
                values = [start] + [0 * start] * len(row.optimizer.state_names)
                for t in (1, 2):
                    clock = (t,) if row.optimizer.counts_steps else ()
                    values = row.rule(values[0], 0.1 + 0 * start, *values[1:], *clock)
                assert all(np.isfinite(x).all() for x in values)
                assert (np.asarray(values[0]) < 0.5).all(), row.name
            print(row.name)
        """
    )
    assert {"sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"} <= set(ran.split())


def test_a_schedule_and_an_equation():
    run(
        """
        from optlib.optimizers.adam import adam
        from optlib.printing.latex import equation
        from optlib.schedules.cosine import cosine_annealing

        assert cosine_annealing(5, 10, 1.0) == 0.5
        assert "beta_1" in equation(adam)
        """
    )


def test_a_class_says_what_is_missing():
    run(
        """
        from optlib.optimizers.adam import Adam

        try:
            Adam([])
        except ImportError as error:
            assert str(error) == "Adam drives torch tensors: pip install torch"
        else:
            raise AssertionError
        """
    )


def test_importing_the_catalogue_does_not_import_torch_where_there_is_one():
    """Only the engine and the classes may, and they say so with `try`; a twin is a dotted name."""
    from optlib import catalogue

    assert all(isinstance(row.twin.path, str) for row in catalogue.CATALOGUE if row.twin)
