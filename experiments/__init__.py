"""What the book measures: one file an experiment, `run(seeds, full)` a pure function to a table."""
