"""Regularization: what is added, dropped, normalized, smoothed, clipped or stopped in training."""
