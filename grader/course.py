"""A course as files: who handed in what, and where the results go.

What students hand in is read with care: no link is followed, nothing but an ordinary file is
opened, and the results are put in place whole or not at all.
"""

import fnmatch
import os
import stat
from pathlib import Path

from nbgrader.coursedir import CourseDirectory
from traitlets.config.loader import PyFileConfigLoader

from grader.exercise import ROOT
from grader.submission import MOST_BYTES

CONFIG = "nbgrader_config.py"
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
MOST_OTHERS = 100  # files beside the notebooks that are copied along, as nbgrader does


class CourseError(Exception):
    """The course cannot be graded as it stands; the message says why."""


def here():
    """The course in the current folder if there is one, else this repository's."""
    folder = Path.cwd()
    return folder if (folder / CONFIG).exists() or (folder / "submitted").is_dir() else ROOT


def sections():
    """The sections that have exercises, in alphabetical order."""
    return sorted({path.parent.name for path in (ROOT / "exercises").glob("*/*.ipynb")})


def pieces(section):
    """The notebooks of a section, in nbgrader's order."""
    return sorted(path.stem for path in (ROOT / "exercises" / section).glob("*.ipynb"))


class Course:
    """The folders and the settings of one course, as nbgrader reads them."""

    def __init__(self, root, db_url=None):
        self.root = Path(root)
        path = self.root if (self.root / CONFIG).exists() else ROOT
        self.config = PyFileConfigLoader(CONFIG, path=str(path)).load_config()
        self.config.CourseDirectory.root = str(self.root)
        if db_url:
            self.config.CourseDirectory.db_url = db_url
        self.folders = CourseDirectory(config=self.config)

    @property
    def db_url(self):
        return self.folders.db_url

    def submitted(self, student, section):
        return self.root / self.folders.submitted_directory / student / section

    def autograded(self, student, section):
        return self.root / self.folders.autograded_directory / student / section

    def feedback(self, student, section):
        return self.root / self.folders.feedback_directory / student / section

    def students(self, section):
        """Who handed in, and the folders whose names no gradebook can hold."""
        try:
            names = sorted(os.listdir(self.root / self.folders.submitted_directory))
        except OSError as error:
            raise CourseError(
                f"there is no folder {self.folders.submitted_directory}/ in {self.root}: "
                "it holds what was handed in, as submitted/<student>/<section>/<notebook>.ipynb"
            ) from error
        excluded = self.folders.student_id_exclude.split(",")
        names = [
            name
            for name in names
            if not name.startswith(".")
            and name not in excluded
            and os.path.lexists(self.submitted(name, section))
        ]
        return [n for n in names if usable(n)], [n for n in names if not usable(n)]

    def handed_in(self, student, section):
        """For each notebook the files that can stand for it, and the timestamp's text or None."""
        folder = self.submitted(student, section)
        expected = {f"{piece}.ipynb" for piece in pieces(section)}
        if folder.parent.is_symlink() or folder.is_symlink() or not folder.is_dir():
            return {piece: {f"{piece}.ipynb": None} for piece in pieces(section)}, None
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return {piece: {f"{piece}.ipynb": None} for piece in pieces(section)}, None
        names = [name for name in names if name.endswith(".ipynb") and usable(name)]
        others = {}
        if expected.difference(names):  # one handed in under another name may stand for it
            others = {name: content(folder / name) for name in names if name not in expected}
        found = {
            name.removesuffix(".ipynb"): {name: content(folder / name)} if name in names else others
            for name in sorted(expected)
        }
        stamp = content(folder / "timestamp.txt")
        stamp = stamp[:100].decode(errors="replace").strip() if isinstance(stamp, bytes) else None
        return found, stamp or None

    def state(self, student, section):
        """Something that changes when the submission does."""
        try:
            with os.scandir(self.submitted(student, section)) as entries:
                found = [(e.name, e.stat(follow_symlinks=False)) for e in entries]
        except OSError:
            return None
        return sorted((name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in found)

    def put(self, student, section, piece, notebook, page):
        """Write the graded notebook and its page; either may be None: then it stays as it is."""
        if notebook is not None:
            write(self.autograded(student, section) / f"{piece}.ipynb", notebook, 0o444)
        if page is not None:
            write(self.feedback(student, section) / f"{piece}.html", page, 0o644)

    def put_others(self, student, section):
        """Copy what lies beside the notebooks, the timestamp first of all, to both folders."""
        folder = self.submitted(student, section)
        for name in self._others(folder):
            data = content(folder / name)
            if isinstance(data, bytes):
                write(self.autograded(student, section) / name, data, 0o444)
                write(self.feedback(student, section) / name, data, 0o644)

    def _others(self, folder):
        """Paths inside a submission that nbgrader would copy: not ignored, no notebooks."""
        if folder.parent.is_symlink() or folder.is_symlink():
            return []
        ignored = [*self.folders.ignore, "*.ipynb"]
        found = []
        for parent, folders, names in os.walk(folder):  # it does not follow links
            folders[:] = [f for f in sorted(folders) if not _matches(f, ignored)]
            found += [os.path.join(parent, n) for n in sorted(names) if not _matches(n, ignored)]
            if len(found) > MOST_OTHERS:
                break
        found = [os.path.relpath(path, folder) for path in found[:MOST_OTHERS]]
        pages = {f"{piece}.html" for piece in pieces(folder.name)}
        return [path for path in found if path.isprintable() and path not in pages]

    def there(self, student, section, piece):
        """Whether both results of a notebook still lie in their places."""
        places = [
            self.autograded(student, section) / f"{piece}.ipynb",
            self.feedback(student, section) / f"{piece}.html",
        ]
        return all(_size(path) > 0 for path in places)

    def remove(self, student, section, piece):
        """Take away the results of a notebook that could not be graded again."""
        for path in (
            self.autograded(student, section) / f"{piece}.ipynb",
            self.feedback(student, section) / f"{piece}.html",
        ):
            path.unlink(missing_ok=True)


def usable(name):
    """Whether a folder's name can be a student's id in a gradebook, a path and a page."""
    return name.isprintable() and name.strip() == name and 0 < len(name) <= 128


def content(path):
    """The bytes of an ordinary file; the size of one that is too large; None for all else."""
    try:
        number = os.open(path, READ)  # a pipe must not hang us, and a link may lead anywhere
    except (OSError, ValueError):
        return None
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            return None
        if about.st_size > MOST_BYTES:
            return about.st_size
        with open(number, "rb", closefd=False) as file:
            return file.read(MOST_BYTES)
    except OSError:
        return None
    finally:
        os.close(number)


def laid_out(files, folder):
    """Put what `content` returned into a folder; what could not be read cannot be read there."""
    for name, data in files.items():
        path = folder / name
        if data is None:
            path.mkdir()
        elif isinstance(data, int):
            with open(path, "wb") as file:
                file.truncate(data)
        else:
            path.write_bytes(data)


def write(path, data, mode):
    """Put a file in its place in one step: whoever looks sees the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    part.write_bytes(data)
    part.chmod(mode)
    os.replace(part, path)


def _matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _size(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0
