import torch


def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    w, g, m, v = (torch.tensor(a) for a in (w, g, m, v))
    w.mul_(1 - lr * weight_decay)
    m.lerp_(g, 1 - betas[0])
    v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    root = v.sqrt().div_((1 - betas[1] ** t) ** 0.5).add_(eps)
    w.addcdiv_(m, root, value=-lr / (1 - betas[0] ** t))
    return w.numpy(), m.numpy(), v.numpy()
