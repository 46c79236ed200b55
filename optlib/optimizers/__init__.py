"""First-order optimizers: one file a piece, its rules first, then their torch classes."""
