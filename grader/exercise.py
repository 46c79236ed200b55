"""An exercise's one source, `solutions/<section>/<piece>.py`, read into its parts."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parent.parent
HIDDEN_BEGIN, HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


class SourceError(ValueError):
    """The source of an exercise breaks the contract; the message says where and how."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer, and the sentence a teacher would say about it."""

    function: str
    name: str
    because: str
    source: str


@dataclass(frozen=True)
class Probe:
    """The hidden part of one function: its aspects, and what they are worth together."""

    grade_id: str
    points: float
    source: str

    @property
    def function(self):
        return self.grade_id.removesuffix("_hidden")


@dataclass(frozen=True)
class Picture:
    """A public example of one function, which leaves a curve in `x` and `y`."""

    function: str
    xlabel: str
    ylabel: str
    source: str


@dataclass(frozen=True)
class Exercise:
    section: str
    piece: str
    cells: tuple  # of (cell_type, metadata, source), in the order of the file
    solves: dict  # function -> source of the right answer
    mistakes: tuple
    probes: tuple
    pictures: dict = field(default_factory=dict)  # function -> Picture

    @property
    def setup(self):
        """The plain code cells before the first answer: the notebook's imports."""
        sources = []
        for cell_type, metadata, source in self.cells:
            if "solve" in metadata:
                break
            if cell_type == "code" and not metadata:
                sources.append(source)
        return "\n".join(sources)

    def namespace(self, function=None, answer=None):
        """Run set-up and right answers, `function` replaced by the source `answer`."""
        space = {"__name__": "answer"}
        exec(compile(self.setup, f"{self.piece}: set-up", "exec"), space)
        for name, source in self.solves.items():
            source = answer if name == function else source
            exec(compile(source, f"{self.piece}: {name}", "exec"), space)
        return space


def sources():
    """All exercise sources, in the order of their paths."""
    return sorted((ROOT / "solutions").glob("*/*.py"))


@functools.cache
def load(section, piece):
    """Read `solutions/<section>/<piece>.py`; raises SourceError if it breaks the contract."""
    path = ROOT / "solutions" / section / f"{piece}.py"
    if not path.exists():
        raise SourceError(f"there is no exercise {section}/{piece}")
    notebook = jupytext.read(path, fmt="py:percent")
    cells, solves, mistakes, probes, pictures = [], {}, [], [], {}
    for cell in notebook.cells:
        about, source = _about(cell), cell.source
        where = f"{section}/{piece}"
        cells.append((cell.cell_type, about, source))
        if "solve" in about and cell.cell_type == "code":
            solves[about["solve"]] = source
        elif "wrong" in about:
            if "because" not in about:
                raise SourceError(f"{where}: a wrong {about['wrong']} without because=")
            name = about.get("id", f"{about['wrong']}-{len(mistakes)}")
            mistakes.append(Mistake(about["wrong"], name, about["because"], source))
        elif "probe" in about:
            if not about["probe"].endswith("_hidden") or "points" not in about:
                raise SourceError(f"{where}: a probe is <function>_hidden and has points=")
            probes.append(Probe(about["probe"], float(about["points"]), source))
        elif "picture" in about:
            if not {"xlabel", "ylabel"} <= about.keys():
                raise SourceError(f"{where}: a picture has xlabel= and ylabel=")
            function = about["picture"]
            pictures[function] = Picture(function, about["xlabel"], about["ylabel"], source)
    missing = set(solves) - {p.function for p in probes}
    strangers = ({m.function for m in mistakes} | pictures.keys()) - set(solves)
    if missing:
        raise SourceError(f"{where}: no probe for {', '.join(sorted(missing))}")
    if strangers:
        raise SourceError(f"{where}: without an answer: {', '.join(sorted(strangers))}")
    return Exercise(section, piece, tuple(cells), solves, tuple(mistakes), tuple(probes), pictures)


def _about(cell):
    keys = ("solve", "wrong", "because", "id", "check", "probe", "points")
    keys += ("picture", "xlabel", "ylabel")
    return {key: cell.metadata[key] for key in keys if key in cell.metadata}
