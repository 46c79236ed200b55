"""impl="compile": the very rule that the page prints, fused by torch.compile into one kernel.

Three things make it fast and keep it right.

Numbers that change (t, lr, weight decay ...) must be no constants of the kernel, or every step
compiles again. So the rule is run on `Recorder`s first, which note every number that meets a
tensor, computed in Python's float64 as in the eager engine; and once, at the first step, on
torch.fx proxies, for the graph in which these numbers are read from a small tensor.

Shapes must be no constants either: the kernel sees flat views and is compiled with `dynamic=True`.

Small tensors are gathered into one buffer: for them a call costs more than the arithmetic. For a
rule that takes a norm the buffer is a table with one parameter, of one size, in every row.
"""

import functools
import math
import operator
import warnings

try:
    import torch
except ModuleNotFoundError:  # nothing here is called without it
    torch = None

SMALL = 1 << 15  # elements; above it, copying to the buffer and back costs more than a call


class Recorder:
    """Stands for a tensor, computes nothing, and notes the numbers that meet it, in order."""

    def __init__(self, numbers, functions=None):
        self.numbers = numbers
        self.functions = functions if functions is not None else []

    def _meet(self, other):
        if _is_number(other):
            self.numbers.append(other)
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _meet
    __rtruediv__ = __gt__ = __ge__ = __lt__ = __le__ = __and__ = __or__ = _meet

    def __truediv__(self, other):
        return self._meet(_inverse(other) if _is_number(other) else other)

    def __pow__(self, exponent):  # exponents are the rule's own constants: square and root
        return self

    def __neg__(self):
        return self

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        recorder = next(a for a in args if isinstance(a, cls))
        recorder.functions.append(function)
        for a in args:
            recorder._meet(a)
        return recorder


def _is_number(x):
    return isinstance(x, int | float) and not isinstance(x, bool)


def _inverse(number):
    """What to multiply by instead: a division takes the processor many times as long."""
    return 1 / number if number else math.copysign(math.inf, number)


def numbers_met(rule, states, clock, hyper):
    """The numbers that meet a tensor when `rule` runs, in order, in Python's float64."""
    numbers = []
    rule(*(Recorder(numbers) for _ in range(2 + states)), *clock, **hyper)
    return numbers


def is_elementwise(rule, states, clock, hyper):
    """Whether every element goes its own way, so that pieces and heaps of tensors are alike.

    Only known element-wise functions count; a rule that multiplies matrices does not get so far.
    """
    functions = []
    try:
        rule(*(Recorder([], functions) for _ in range(2 + states)), *clock, **hyper)
    except (TypeError, AttributeError):
        return False
    return all(f in (torch.where, torch.sign) for f in functions)


def graph_of(rule, states, clock, hyper):
    """The rule as a module of `(w, g, *state, numbers)` that overwrites w and state.

    Norms are along the last axis: of a vector, or of every row of a table.
    """
    tracer = torch.fx.Tracer()
    tracer.root, tracer.graph = torch.nn.Module(), torch.fx.Graph()
    places = [tracer.graph.placeholder(f"tensor{i}") for i in range(2 + states)]
    numbers = tracer.graph.placeholder("numbers")
    results = rule(*(torch.fx.Proxy(p, tracer) for p in places), *clock, **hyper)
    met = 0
    for node in list(tracer.graph.nodes):
        if node.op == "placeholder" or node.target is operator.pow:
            continue
        if node.target is torch.linalg.vector_norm:
            node.kwargs = {"dim": -1, "keepdim": True}
        if node.target is operator.truediv and _is_number(node.args[1]):
            node.target = operator.mul  # by the inverse, as `Recorder` notes it
        arguments = list(node.args)
        for i, a in enumerate(arguments):
            if _is_number(a):
                with tracer.graph.inserting_before(node):
                    arguments[i] = tracer.graph.call_function(torch.select, (numbers, 0, met))
                met += 1
        node.args = tuple(arguments)
    # A rule may hand back one argument as the new value of another: keep it before it changes.
    new = [
        tracer.graph.call_method("clone", (r.node,)) if r.node in places else r.node
        for r in results
    ]
    for place, value in zip((places[0], *places[2:]), new, strict=True):
        tracer.graph.call_method("copy_", (place, value))
    tracer.graph.output(None)
    return torch.fx.GraphModule(tracer.root, tracer.graph)


class Kernel:
    """A rule, compiled once for all shapes and all numbers; it overwrites the tensors it is given.

    Where no compiler is found it runs uncompiled, after one warning.
    """

    def __init__(self, rule, states, clock, hyper, blank):
        """`blank` makes tensors of the kind, and the number of dimensions, that are to come."""
        self.rule, self.states = rule, states
        module = graph_of(rule, states, clock, hyper)
        self.met = sum(node.target is torch.select for node in module.graph.nodes)
        self.uncompiled = module.forward
        self.run = torch.compile(self.uncompiled, dynamic=True)
        # On large tensors of no one's: the compiler sees that threads pay, and may fail.
        self([blank() for _ in range(2 + states)], self.numbers(clock, hyper, blank()))

    def numbers(self, clock, hyper, like):
        """The rule's numbers at this step, as a tensor beside `like`, in at least float32."""
        met = numbers_met(self.rule, self.states, clock, hyper)
        if len(met) != self.met:
            raise RuntimeError(f"{self.rule.__name__} takes another path than when it was compiled")
        dtype = torch.promote_types(like.dtype, torch.float32)
        return torch.tensor(met, dtype=dtype).to(like.device, non_blocking=True)

    def __call__(self, tensors, numbers):
        try:
            self.run(*tensors, numbers)
        except torch._dynamo.exc.TorchDynamoException as error:  # raised before anything has run
            if self.run is self.uncompiled:
                raise
            _warn(str(error).strip().splitlines()[0])
            self.run = self.uncompiled
            self.run(*tensors, numbers)


@functools.cache
def _warn(reason):
    warnings.warn(f'impl="compile" runs uncompiled: {reason}', stacklevel=2)


# Large, but torch sums rows of up to 4096 elements by another kernel, compiled when one comes.
VECTOR, TABLE = (1 << 20,), (1 << 6, 1 << 14)


def _any(names, fixed):
    """Hyperparameters to trace with: every number will be read from a tensor."""
    return {name: (0.5, 0.5) if name == "betas" else 0.5 for name in names} | dict(fixed)


@functools.cache
def _kernel(rule, states, clocked, names, fixed, shape, dtype, device):
    blank = functools.partial(torch.zeros, shape, dtype=dtype, device=device)
    return Kernel(rule, states, (1,) * clocked, _any(names, fixed), blank)


@functools.cache
def _is_elementwise(rule, states, clocked, names, fixed):
    return is_elementwise(rule, states, (1,) * clocked, _any(names, fixed))


class Buffer:
    """Many small parameters as one. Their state lives here; weights and gradients visit."""

    def __init__(self, params, states, shape):
        """`states` lists, for every letter of the rule, that state tensor of every parameter."""
        flat = [_flat(params), torch.zeros_like(_flat(params)), *map(_flat, states)]
        views = [list(torch._utils._unflatten_dense_tensors(x, params)) for x in flat]
        self.tensors = [x.view(shape).detach() for x in flat]
        self.views_w, self.visitors, self.views_states = views[0], views[0] + views[1], views[2:]

    def holds(self, states):
        """Whether the parameters' state still is what lives here (a loaded state is not)."""
        return all(a is b for s, v in zip(states, self.views_states) for a, b in zip(s, v))

    def step(self, kernel, params, grads, numbers):
        torch._foreach_copy_(self.visitors, params + grads)
        kernel(self.tensors, numbers)
        torch._foreach_copy_(params, self.views_w)


def _flat(tensors):
    return torch._utils._flatten_dense_tensors(tensors)


def step(optimizer, group, hyper):
    """One step of `optimizer` on the parameters of `group` that have a gradient."""
    crowds = {}  # parameters that share a kernel and its numbers, each with its state
    for w in group["params"]:
        if w.grad is not None:
            state = optimizer.state_of(w)
            crowds.setdefault((w.dtype, w.device, state.get("t")), []).append((w, state))
    for (dtype, device, t), crowd in crowds.items():
        clock = () if t is None else (t + 1,)
        _step_crowd(optimizer, crowd, hyper, clock, dtype, device)
        if clock:
            for _, state in crowd:
                state["t"] = t + 1


def _step_crowd(optimizer, crowd, hyper, clock, dtype, device):
    # Hyperparameters that are no numbers, such as `adapt`, choose the kernel.
    fixed = tuple((k, v) for k, v in hyper.items() if not isinstance(v, float | tuple))
    key = (optimizer.rule, len(optimizer.state_names), len(clock), tuple(hyper), fixed)
    alike = _is_elementwise(*key)
    heaps = {}
    for w, state in crowd:
        n = w.numel()
        if n:
            heap = id(w) if n > SMALL else 0 if alike else n
            heaps.setdefault(heap, []).append((w, state))
    numbers = None
    for heap in heaps.values():
        rows = -1 if alike else len(heap)
        run = _kernel(*key, VECTOR if alike or rows == 1 else TABLE, dtype, device)
        if numbers is None:  # the same in both kernels
            numbers = run.numbers(clock, hyper, heap[0][0])
        if len(heap) > 1:
            _step_heap(optimizer, run, heap, numbers, (-1,) if alike else (rows, -1))
        else:
            _step_one(optimizer, run, *heap[0], numbers)


def _step_one(optimizer, run, w, state, numbers):
    tensors = [w, w.grad, *(state[name] for name in optimizer.state_names)]
    order = sorted(range(w.ndim), key=w.stride, reverse=True)  # as it lies in memory
    views = [x.permute(order) for x in tensors]
    if all(x.is_contiguous() for x in views):
        # Detached: whose views they are, and whether they want gradients, would be compiled in.
        run([x.view(-1).detach() for x in views], numbers)
        return
    copies = [x.flatten().clone() for x in tensors]
    run(copies, numbers)
    for i, tensor in enumerate(tensors):
        if i != 1:  # the gradient
            tensor.copy_(copies[i].view(tensor.shape))


def _step_heap(optimizer, run, heap, numbers, shape):
    params = [w for w, _ in heap]
    states = [[state[name] for _, state in heap] for name in optimizer.state_names]
    key = tuple(map(id, params))
    # Made here, not in __init__: torch copies and unpickles an optimizer without it.
    buffers = optimizer.__dict__.setdefault("_buffers", {})
    buffer = buffers.get(key)
    if buffer is None or not buffer.holds(states):
        if len(buffers) > 16:  # gradients that come and go would make a buffer for every set
            buffers.clear()
        buffer = buffers[key] = Buffer(params, states, shape)
        for name, views in zip(optimizer.state_names, buffer.views_states):
            for (_, state), view in zip(heap, views):
                state[name] = view
    buffer.step(run, params, [w.grad for w in params], numbers)
