import torch


def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    w, g, m, v = (torch.tensor(a) for a in (w, g, m, v))
    m = m.lerp(g, 1 - betas[0])
    v = v.mul(betas[1]).addcmul(g, g, value=1 - betas[1])
    denominator = (v.sqrt() / (1 - betas[1] ** t) ** 0.5).add(eps)
    w = w.addcdiv(m, denominator, value=-lr / (1 - betas[0] ** t))
    return w.numpy(), m.numpy(), v.numpy()
