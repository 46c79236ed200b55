"""Beyond the lesson: older and newer optimizers, each one rule and one class like the others."""
