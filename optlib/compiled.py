"""impl="compile": the very rule that the page prints, fused by torch.compile into one kernel.

Three things make it fast and keep it right.

Numbers that change (t, lr, weight decay ...) must be no constants of the kernel, or every step
compiles again. So the rule is run on `Recorder`s first, which note every number that meets a
tensor, computed in Python's float64 as in the eager engine; and once, at the first step, on
torch.fx proxies, for the graph in which these numbers are read from a small tensor.

Shapes must be no constants either: the kernel sees flat views and is compiled with `dynamic=True`.

Small tensors are gathered into one buffer: for them a call costs more than the arithmetic. A rule
that takes a norm looks at one parameter at a time and is never gathered.
"""

import functools
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
    __truediv__ = __rtruediv__ = __gt__ = __ge__ = __lt__ = __le__ = __and__ = __or__ = _meet

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
    """The rule as a module of `(w, g, *state, numbers)` that overwrites w and state."""
    tracer = torch.fx.Tracer()
    tracer.root, tracer.graph = torch.nn.Module(), torch.fx.Graph()
    places = [tracer.graph.placeholder(f"tensor{i}") for i in range(2 + states)]
    numbers = tracer.graph.placeholder("numbers")
    results = rule(*(torch.fx.Proxy(p, tracer) for p in places), *clock, **hyper)
    met = 0
    for node in list(tracer.graph.nodes):
        if node.op == "placeholder" or node.target is operator.pow:
            continue
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

    def __init__(self, rule, states, clock, hyper):
        self.rule, self.states = rule, states
        self.graph = graph_of(rule, states, clock, hyper)
        self.elementwise = is_elementwise(rule, states, clock, hyper)
        self.met = sum(node.target is torch.select for node in self.graph.graph.nodes)
        self.run = torch.compile(self.graph, dynamic=True)

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
            if self.run is self.graph:
                raise
            reason = str(error).strip().splitlines()[0]
            warnings.warn(
                f"torch.compile failed, {self.rule.__name__} runs uncompiled: {reason}",
                stacklevel=2,
            )
            self.run = self.graph
            self.run(*tensors, numbers)


@functools.cache
def _kernel(rule, states, clocked, names, fixed):
    # The values do not matter: every number is read from a tensor.
    hyper = {name: (0.5, 0.5) if name == "betas" else 0.5 for name in names} | dict(fixed)
    return Kernel(rule, states, (1,) * clocked, hyper)


def kernel(rule, states, clocked, hyper):
    """The kernel of `rule`; hyperparameters that are no numbers, such as `adapt`, choose it."""
    fixed = tuple((k, v) for k, v in hyper.items() if not isinstance(v, float | tuple))
    return _kernel(rule, states, clocked, tuple(hyper), fixed)


class Buffer:
    """Many small parameters as one. Their state lives here; weights and gradients visit."""

    def __init__(self, params, states):
        """`states` lists, for every letter of the rule, that state tensor of every parameter."""
        self.shapes = params
        self.w = _flat(params)
        self.states = [_flat(s) for s in states]
        self.views_w = self._views(self.w)
        self.views_states = [self._views(flat) for flat in self.states]

    def _views(self, flat):
        return list(torch._utils._unflatten_dense_tensors(flat, self.shapes))

    def holds(self, states):
        """Whether the parameters' state still is what lives here (a loaded state is not)."""
        return all(a is b for s, v in zip(states, self.views_states) for a, b in zip(s, v))

    def step(self, kernel, params, grads, numbers):
        torch._foreach_copy_(self.views_w, params)
        kernel((self.w, _flat(grads), *self.states), numbers)
        torch._foreach_copy_(params, self.views_w)


def _flat(tensors):
    return torch._utils._flatten_dense_tensors(tensors)


def step(optimizer, group, hyper):
    """One step of `optimizer` on the parameters of `group` that have a gradient."""
    names = optimizer.state_names
    crowds = {}  # parameters that share a kernel call's numbers
    for w in group["params"]:
        if w.grad is not None:
            state = optimizer.state_of(w)
            crowds.setdefault((w.dtype, w.device, state.get("t")), []).append(w)
    for (_, _, t), params in crowds.items():
        clock = (t + 1,) if optimizer.counts_steps else ()
        run = kernel(optimizer.rule, len(names), len(clock), hyper)
        numbers = run.numbers(clock, hyper, params[0])
        small = [w for w in params if w.numel() <= SMALL] if run.elementwise else []
        if len(small) > 1:
            _step_small(optimizer, run, small, numbers)
        else:
            small = []
        gathered = set(map(id, small))
        for w in params:
            if id(w) not in gathered:
                tensors = [w, w.grad, *(optimizer.state[w][name] for name in names)]
                if all(x.is_contiguous() for x in tensors):
                    tensors = [x.view(-1) for x in tensors]
                run(tensors, numbers)
            if clock:
                optimizer.state[w]["t"] = t + 1


def _step_small(optimizer, run, params, numbers):
    states = [[optimizer.state[w][name] for w in params] for name in optimizer.state_names]
    key = tuple(map(id, params))
    # Made here, not in __init__: torch copies and unpickles an optimizer without it.
    buffers = optimizer.__dict__.setdefault("_buffers", {})
    buffer = buffers.get(key)
    if buffer is None or not buffer.holds(states):
        if len(buffers) > 16:  # gradients that come and go would make a buffer for every set
            buffers.clear()
        buffer = buffers[key] = Buffer(params, states)
        for name, views in zip(optimizer.state_names, buffer.views_states):
            for w, view in zip(params, views):
                optimizer.state[w][name] = view
    buffer.step(run, params, [w.grad for w in params], numbers)
