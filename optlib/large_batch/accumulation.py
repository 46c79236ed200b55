"""Accumulation: one big batch's gradient from small ones, each weighted by its own size."""

try:
    import torch
except ModuleNotFoundError:  # in the reader's browser there is no torch
    torch = None


def weighted_mean(values, counts):
    """Return the mean over all examples, given the `values`: means over `counts` examples each."""
    total, examples = 0.0, 0
    for value, count in zip(values, counts):
        if count:  # a mean over nothing is NaN, and weighs nothing
            total = total + count * value
            examples += count
    if not examples:
        raise ValueError("there is no example to take the mean over")
    return total / examples


def accumulated_gradient(grad_fn, w, microbatches):
    """Return the gradient of the mean loss over all examples, whatever the microbatches' sizes.

    `grad_fn(w, microbatch)` is a mean over `len(microbatch)` examples; it may return one buffer
    at every call. Raises ValueError if there is no example.
    """
    return token_weighted_gradient(grad_fn, w, microbatches, tokens=len)


def token_weighted_gradient(grad_fn, w, microbatches, tokens):
    """The same where `grad_fn` is a mean over `tokens(microbatch)` of something else than examples.

    Language models average over the tokens that count: padding and masked labels do not. The mean
    of such means, as many trainers took until October 2024, weighs a token of a short text more.
    """
    microbatches = list(microbatches)
    gradients = (grad_fn(w, microbatch) for microbatch in microbatches)
    return weighted_mean(gradients, map(tokens, microbatches))


def accumulate_and_step(model, optimizer, loss_fn, microbatches, max_norm=None, *, tokens=len):
    """One step of `optimizer` on all `(inputs, targets)` pairs, one in memory at a time.

    Equal to a step on their union, where the model treats examples apart: batch norm does not.
    `loss_fn(model(inputs), targets)` is a mean over `tokens(targets)`. Gradients are cleared
    first; they are clipped to the norm `max_norm` once, after all are summed. Returns the mean
    loss as a float. Raises ValueError if there is no example.
    """
    microbatches = [(inputs, targets, int(tokens(targets))) for inputs, targets in microbatches]
    total = sum(count for _, _, count in microbatches)
    if not total:
        raise ValueError("there is no example to take the mean over")
    optimizer.zero_grad()
    mean_loss = 0.0
    for inputs, targets, count in microbatches:
        if count:
            loss = loss_fn(model(inputs), targets) * (count / total)
            loss.backward()
            mean_loss += loss.detach()
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return float(mean_loss)
