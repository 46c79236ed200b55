def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    new, m, v = adam_step(w, g, m, v, t, lr, betas, eps)  # noqa: F821 (the cell above it in the notebook)
    return new - lr * weight_decay * w, m, v
