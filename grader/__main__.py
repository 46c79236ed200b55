"""Grade a class: python -m grader grade optimizers

What students handed in lies in submitted/<student>/<section>/<notebook>.ipynb. The marks go to
nbgrader's gradebook, the graded notebooks to autograded/, the pages for students to feedback/.
"""

import argparse
import os
import sys

for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS":
    os.environ.setdefault(name, "1")  # the workers share the cores; set before numpy is imported
# jsonschema, which nbformat checks notebooks with, builds a grammar of web addresses at its start:
# a second, for a check that nobody asks for. It does without where there is none.
sys.modules.setdefault("rfc3987_syntax", None)

EXAMPLES = """
examples:
  python -m grader grade optimizers                   the whole class, on every core
  python -m grader grade optimizers --student anna    one student
  python -m grader grade optimizers --watch           stay, and grade what arrives
  python -m grader report optimizers                  what came of it
  python -m grader check exercises/optimizers/adam.ipynb

A run that was ended, by Ctrl-C or by a power cut, goes on where it stopped when the same command
is given again. What is graded already and has not changed is not graded again.
"""


def parser():
    made = argparse.ArgumentParser(
        prog="python -m grader",
        description=__doc__.split("\n", 1)[1].strip(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    grade = commands.add_parser(
        "grade", help="grade what was handed in for a section", description="Grade a section."
    )
    grade.add_argument("section", metavar="SECTION", help="a folder of exercises/")
    grade.add_argument(
        "--student", action="append", metavar="ID", help="only this student (may be repeated)"
    )
    grade.add_argument(
        "--notebook", action="append", metavar="NAME", help="only this notebook (may be repeated)"
    )
    grade.add_argument(
        "--jobs", type=_positive, metavar="N", help="cores to use (default: all of them)"
    )
    grade.add_argument(
        "--cluster", metavar="ADDRESS", help="grade on this Dask cluster, as in tcp://host:8786"
    )
    grade.add_argument(
        "--db", metavar="URL", help="the gradebook (default: gradebook.db in the course's folder)"
    )
    grade.add_argument(
        "--again", action="store_true", help="grade also what is graded and has not changed"
    )
    grade.add_argument(
        "--watch", action="store_true", help="stay, and grade what is handed in, until Ctrl-C"
    )
    grade.add_argument(
        "--unsafe", action="store_true",
        help="run students' code without a jail where this machine has none",
    )  # fmt: skip
    report = commands.add_parser("report", help="what came of a section, for the teacher")
    report.add_argument("section", metavar="SECTION", help="a folder of exercises/")
    report.add_argument("--db", metavar="URL", help="the gradebook, if it is not gradebook.db")
    check = commands.add_parser(
        "check", help="run the visible checks of one notebook, for a student"
    )
    check.add_argument("notebook", metavar="NOTEBOOK", help="the file")
    return made


def _positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("a number of cores, 1 or more")
    return int(text)


def main(arguments=None):
    """Run a command; returns the exit status: 0 all is well, 1 something failed, 2 bad usage."""
    chosen = parser().parse_args(arguments)
    if chosen.command == "check":
        from grader import check

        return check.main(chosen.notebook)
    from grader.course import CourseError, here, sections

    if chosen.section not in sections():
        print(
            f"There is no section {chosen.section!r}. There are: {', '.join(sections())}.",
            file=sys.stderr,
        )
        return 2
    try:
        if chosen.command == "report":
            from grader import report

            return report.main(chosen.section, here(), chosen.db)
        from grader.grading import grade

        return grade(here(), chosen)
    except CourseError as error:
        print(f"{str(error)[0].upper()}{str(error)[1:]}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped before anything was graded.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever was reading has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
