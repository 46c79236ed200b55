"""Every optimizer, schedule and regularizer of the book, each stated once.

A rule is a pure function in the lesson's letters; it runs on floats, NumPy arrays and torch tensors.
The chapters print their equations from these functions, and the lab in the page runs them as JavaScript.
"""
