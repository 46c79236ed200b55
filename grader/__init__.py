"""Grading that names the mistake.

`probe` runs beside the student's code and only asks questions; `judge` runs on the teacher's side,
puts the same questions to the right answer and to every known mistake, and compares.
"""
