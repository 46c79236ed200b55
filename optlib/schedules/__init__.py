"""Learning-rate schedules: pure functions of t, the number of steps already taken."""
