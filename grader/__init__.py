"""Grading that names the mistake.

`probe` runs beside the student's code and only asks questions; `judge` runs on the teacher's side,
puts the same questions to the right answer and to every known mistake, and compares.
"""


def load_ipython_extension(shell):
    """`%load_ext grader`: the line magic `%check`, see `grader.check`."""
    from functools import partial

    from grader.check import magic

    shell.register_magic_function(partial(magic, shell), "line", "check")
