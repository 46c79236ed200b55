"""Every exercise against its own catalogue: right answers pass, known mistakes are told by name.

Each new `solutions/<section>/<piece>.py` is covered as soon as it exists.
"""

import inspect
import json
import re
import warnings

import nbformat
import pytest

from grader import build, judge, probe, refusals
from grader.exercise import ROOT, load, sources

SEEDS = (0, 5, 11)
PIECES = [(path.parent.name, path.stem) for path in sources()]
FUNCTIONS = [
    pytest.param(section, piece, function, id=f"{section}-{piece}-{function}")
    for section, piece in PIECES
    for function in load(section, piece).solves
]
RIGHT_ANSWERS = ROOT / "tests" / "exercises" / "right_answers"

CONTRACT = {
    "optimizers/sgd": ["sgd_step(w, g, lr)", "minibatch_gradient(w, X, y, batch)"],
    "optimizers/momentum": [
        "momentum_step(w, g, v, lr, beta=0.9)",
        "nesterov_step(grad, w, v, lr, beta=0.9)",
    ],
    "optimizers/rmsprop": ["rmsprop_step(w, g, s, lr, beta=0.9, eps=1e-08)"],
    "optimizers/adam": [
        "adam_step(w, g, m, v, t, lr=0.001, betas=(0.9, 0.999), eps=1e-08)",
        "adamw_step(w, g, m, v, t, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)",
    ],
    "schedules/decay": [
        "step_decay(t, lr, factor=0.1, every=30)",
        "exponential_decay(t, lr, k)",
    ],
    "schedules/cosine": ["cosine_annealing(t, T, lr_max, lr_min=0.0)"],
    "schedules/restarts": ["warm_restarts(t, T_0, T_mult, lr_max, lr_min=0.0)"],
    "schedules/warmup": ["warmup_cosine(t, warmup_steps, total_steps, lr_max, lr_min=0.0)"],
    "regularization/penalties": [
        "l2_penalty(w, lam)",
        "l1_penalty(w, lam)",
        "soft_threshold(w, threshold)",
    ],
    "regularization/dropout": ["dropout(x, p, rng, training=True)"],
    "regularization/batchnorm": [
        "batch_norm(x, gamma, beta, running_mean, running_var, training=True, momentum=0.1, "
        "eps=1e-05)",
        "batch_norm_backward(dy, x, gamma, eps=1e-05)",
    ],
    "regularization/early_stopping": ["EarlyStopping(patience, min_delta=0.0)"],
    "large_batch/scaling": ["scaled_lr(lr, batch_size, base_batch_size, rule='linear')"],
    "large_batch/accumulation": [
        "accumulated_gradient(grad_fn, w, microbatches)",
        "accumulate_and_step(model, optimizer, loss_fn, microbatches, max_norm=None)",
    ],
    "large_batch/lars": ["lars_step(w, g, v, lr, beta=0.9, weight_decay=0.0, trust=0.001)"],
    "large_batch/lamb": [
        "lamb_step(w, g, m, v, t, lr=0.001, betas=(0.9, 0.999), eps=1e-06, weight_decay=0.01)"
    ],
    "gpu/training": [
        "train_step(model, optimizer, batch, device, accumulate=1, max_norm=1.0, "
        "dtype=torch.float32)"
    ],
}

pieces = pytest.mark.parametrize("section, piece", PIECES, ids=["-".join(p) for p in PIECES])
functions = pytest.mark.parametrize("section, piece, function", FUNCTIONS)
seeds = pytest.mark.parametrize("seed", SEEDS)


def verdict_on(section, piece, function, answer, seed):
    exercise = load(section, piece)
    hidden = next(p for p in exercise.probes if p.function == function)
    handed_out = probe.hand_out(hidden.source, exercise.namespace(function, answer), seed)
    return judge.judged(section, piece, hidden.grade_id, handed_out, seed)


def right_answers(section, piece, function):
    return sorted((RIGHT_ANSWERS / section / piece).glob(f"{function}__*.py"))


# The contract


@pieces
def test_the_piece_and_its_functions_are_those_of_the_contract(section, piece):
    namespace = load(section, piece).namespace()
    asked = [f"{f}{inspect.signature(namespace[f])}" for f in load(section, piece).solves]
    assert asked == CONTRACT[f"{section}/{piece}"]


@pieces
def test_cells_are_named_after_their_function_and_what_they_claim(section, piece):
    exercise = load(section, piece)
    names = []
    for cell_type, about, _ in exercise.cells:
        if "check" in about:
            assert any(re.match(rf"{f}_[a-z]\w+$", about["check"]) for f in exercise.solves)
            assert not about["check"].endswith("_hidden")
        if cell_type == "code" and "probe" in about:
            assert about["probe"].removesuffix("_hidden") in exercise.solves
        if "wrong" not in about:
            names += [about[k] for k in ("solve", "check", "probe") if k in about]
    assert len(names) == len(set(names))
    notebook = build.notebook(exercise)
    grade_ids = [c.metadata.nbgrader.grade_id for c in notebook.cells if "nbgrader" in c.metadata]
    assert grade_ids == names
    nbformat.validate(notebook)


@pieces
def test_there_is_an_experiment_and_a_written_answer(section, piece):
    cells = load(section, piece).cells
    written = [about for kind, about, _ in cells if kind == "markdown" and "solve" in about]
    assert [about.get("points") for about in written] == [2]
    first = next(i for i, (_, about, _) in enumerate(cells) if "solve" in about)
    assert any(kind == "code" and not about for kind, about, _ in cells[first:])


@functions
def test_at_least_six_mistakes_and_three_right_answers(section, piece, function):
    mistakes = [m for m in load(section, piece).mistakes if m.function == function]
    assert len(mistakes) >= 6
    assert len({m.name for m in mistakes}) == len({m.because for m in mistakes}) == len(mistakes)
    assert len(right_answers(section, piece, function)) >= 3


# What the grader says of them


@seeds
@functions
def test_the_reference_answer_has_full_marks(section, piece, function, seed):
    verdict = verdict_on(section, piece, function, load(section, piece).solves[function], seed)
    assert verdict.earned == verdict.points > 0, verdict.sentence
    assert verdict.sentence == f"`{function}` is right."


@seeds
@functions
def test_every_right_answer_has_full_marks(section, piece, function, seed):
    for path in right_answers(section, piece, function):
        source = path.read_text()
        verdict = verdict_on(section, piece, function, source, seed)
        assert verdict.earned == verdict.points, f"{path.name}: {verdict.sentence}"
        assert refusals.refused(source) is None, path.name


@seeds
@functions
def test_every_mistake_has_no_marks_and_its_own_sentence(section, piece, function, seed):
    for mistake in load(section, piece).mistakes:
        if mistake.function != function:
            continue
        verdict = verdict_on(section, piece, function, mistake.source, seed)
        assert verdict.earned == 0, mistake.name
        assert verdict.mistake == mistake.name
        assert verdict.sentence == mistake.because


@seeds
@functions
def test_the_mistakes_are_told_apart_pairwise(section, piece, function, seed):
    grade_id = f"{function}_hidden"
    hidden = next(p for p in load(section, piece).probes if p.function == function)
    settings = [probe.settings(aspect) for aspect in probe.aspects(hidden.source)]
    known = judge.mistaken_answers(section, piece, grade_id, seed)
    for i, (one, answers) in enumerate(known):
        for other, others in known[i + 1 :]:
            alike = [judge.agree(a, b, s, nan=True) for a, b, s in zip(answers, others, settings)]
            assert not all(alike), f"{one.name} and {other.name} give the same answers"


# What the student sees while working


@functions
def test_the_right_answer_passes_the_visible_checks_and_the_stub_does_not(section, piece, function):
    exercise = load(section, piece)
    stub = f"def {function}(*args, **kwargs):\n    raise NotImplementedError"
    checks = [(a["check"], s) for _, a, s in exercise.cells if "check" in a]
    mine = [c for c in checks if _function_of(c[0], exercise.solves) == function]
    assert mine, "no visible check"
    failed = []
    for name, source in mine:
        _run(source, exercise.namespace(), name)
        try:
            _run(source, exercise.namespace(function, stub), name)
        except (NotImplementedError, AssertionError):
            failed.append(name)
    assert failed


def _function_of(check, solves):
    return max((f for f in solves if check.startswith(f"{f}_")), key=len)


def _run(source, namespace, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, name, "exec"), namespace)


@pieces
def test_the_whole_notebook_runs_with_the_right_answers(section, piece):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    namespace = {"__name__": "notebook"}
    for kind, about, source in load(section, piece).cells:
        if kind == "code" and not {"wrong", "probe"} & set(about):
            _run(source, namespace, f"{piece}: {about}")
    plt.close("all")


@pieces
def test_no_cell_that_students_get_imports_what_is_refused(section, piece):
    exercise = load(section, piece)
    shown = [
        nbformat.v4.new_code_cell(source)
        for kind, about, source in exercise.cells
        if kind == "code" and not {"wrong", "probe"} & set(about)
    ]
    assert refusals.refused_in(shown) is None


# What the student must not see


def words(text):
    return re.findall(r"\w+|[^\w\s]", text)


def shingles(text, size=8):
    found = words(text)
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


def solution_parts(source):
    return re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source, re.DOTALL)


@pieces
def test_the_release_holds_nothing_hidden(section, piece):
    exercise = load(section, piece)
    released = nbformat.read(ROOT / "exercises" / section / f"{piece}.ipynb", 4)
    shown = "\n".join(c.source for c in released.cells)
    raw = (ROOT / "exercises" / section / f"{piece}.ipynb").read_text()
    # What the statement says may be said again in a sentence or a solution.
    given = [
        re.sub(r"### BEGIN (SOLUTION)\n.*?### END \1", "", source, flags=re.DOTALL)
        for _, about, source in exercise.cells
        if not {"wrong", "probe", "picture"} & set(about)
    ]
    hidden = [p.source for p in exercise.probes] + [m.because for m in exercise.mistakes]
    hidden += [part for _, _, source in exercise.cells for part in solution_parts(source)]
    allowed = shingles("\n".join(given))
    for text in hidden:
        assert not (shingles(text) - allowed) & shingles(shown), text
    for probed in exercise.probes:
        for line in probed.source.splitlines():
            if line.startswith("def "):  # the names of the aspects are canaries
                assert line.split("(")[0].removeprefix("def ") not in raw
    for mark in ("BEGIN HIDDEN", "END HIDDEN", "BEGIN SOLUTION", "END SOLUTION", "because="):
        assert mark not in raw
    assert build.UNJUDGED not in raw


def test_the_release_has_only_the_notebooks_of_the_sources():
    found = {p.relative_to(ROOT / "exercises") for p in (ROOT / "exercises").rglob("*.*")}
    found = {p for p in found if ".ipynb_checkpoints" not in p.parts}
    assert {str(p) for p in found} == {f"{s}/{p}.ipynb" for s, p in PIECES}


@pytest.mark.filterwarnings("ignore")  # nbgrader's own, of SQLAlchemy and traitlets
def test_notebooks_and_releases_are_what_the_sources_give(tmp_path):
    sections = build.write_instructors(tmp_path / "solutions")
    build.release(sections, tmp_path)
    for folder in "solutions", "exercises":
        made = {p.relative_to(tmp_path) for p in (tmp_path / folder).rglob("*.ipynb")}
        kept = {p.relative_to(ROOT) for p in (ROOT / folder).glob("*/*.ipynb")}
        assert made == kept, "run: python -m grader.build"
        for path in made:
            assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes(), (
                f"{path} is not what its source gives; run: python -m grader.build"
            )


def test_a_second_build_gives_the_same_bytes(tmp_path):
    for once in "a", "b":
        build.write_instructors(tmp_path / once)
    for path in (tmp_path / "a").rglob("*.ipynb"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
        json.loads(path.read_text())
