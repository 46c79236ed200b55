# %% [markdown]
# # Momentum
#
# In a narrow valley plain gradient descent bounces from wall to wall and hardly moves along the floor. Give the hiker a heavy ball: it builds up speed where the slopes agree, and pushes that cancel one another leave no trace. The speed is remembered in a *velocity* $v$, which friction $\beta$ slows down and the gradient drives:
#
# $$v_{t+1} = \beta v_t + \eta\,\nabla L(w_t)$$
#
# $$w_{t+1} = w_t - v_{t+1}$$
#
# Nesterov's idea is to look before rolling: the ball is about to move by $\beta v_t$ anyway, so measure the slope there and not here:
#
# $$v_{t+1} = \beta v_t + \eta\,\nabla L(w_t - \beta v_t), \qquad w_{t+1} = w_t - v_{t+1}$$
#
# You will write both, then race them down a valley. About 25 minutes. The chapter is `book/optimizers/momentum.md`.

# %%
import matplotlib.pyplot as plt
import numpy as np

# %% [markdown]
# ## The heavy ball
#
# Read the two equations slowly. Where does the learning rate stand? Which velocity moves the weights, the one before or the one after the push? Libraries disagree here; the equations above are the ones meant.

# %% solve="momentum_step"
def momentum_step(w, g, v, lr, beta=0.9):
    """One step of momentum: the weights and the velocity after it.

    w     the weights, float64 of any shape (a scalar, a vector, a matrix ...)
    g     the gradient of the loss at w, the same shape
    v     the velocity left by the step before, the same shape (zero at the first step)
    lr    the learning rate; it stands inside the velocity, in front of the gradient
    beta  the share of the velocity that friction leaves

    Returns the new w and the new v, in this order. w, g and v are not changed in place.
    """
    ### BEGIN SOLUTION
    v = beta * v + lr * g
    return w - v, v
    ### END SOLUTION

# %% wrong="momentum_step" id="learning_rate_outside_the_velocity" because="Your learning rate stands outside the velocity, as in torch. While lr is constant the weights are the same; as soon as a schedule changes it they are not. In our equation lr meets the gradient when the push is made."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + g
    return w - lr * v, v

# %% wrong="momentum_step" id="gradient_averaged" because="You weigh the gradient by (1 - beta), which makes the velocity an average. That is Adam's first moment; in momentum the pushes add up at full strength."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + (1 - beta) * lr * g
    return w - v, v

# %% wrong="momentum_step" id="moves_with_the_old_velocity" because="You move the weights with the velocity from before the push, so every gradient acts one step late, and the first step moves nothing. Compare the time index of v in the two equations."
def momentum_step(w, g, v, lr, beta=0.9):
    w = w - v
    v = beta * v + lr * g
    return w, v

# %% wrong="momentum_step" id="old_velocity_returned" because="Your weights move rightly, but you hand back the velocity you were given, so the ball never gathers speed. The caller needs the new one for the next step."
def momentum_step(w, g, v, lr, beta=0.9):
    new = beta * v + lr * g
    return w - new, v

# %% wrong="momentum_step" id="velocity_forgotten" because="The velocity you are given never enters the new one: each step starts from rest. That is plain gradient descent."
def momentum_step(w, g, v, lr, beta=0.9):
    v = lr * g
    return w - v, v

# %% wrong="momentum_step" id="no_friction" because="Your velocity never slows down: nothing multiplies the old one, so every push acts for ever and the ball never comes to rest."
def momentum_step(w, g, v, lr, beta=0.9):
    v = v + lr * g
    return w - v, v

# %% wrong="momentum_step" id="beta_fixed" because="Your friction is always 0.9: the caller's `beta` is ignored."
def momentum_step(w, g, v, lr, beta=0.9):
    v = 0.9 * v + lr * g
    return w - v, v

# %% wrong="momentum_step" id="friction_on_the_push" because="You slow down the new push as well as the old velocity. Look at what beta multiplies in the equation, and what it does not."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * (v + lr * g)
    return w - v, v

# %% wrong="momentum_step" id="friction_reversed" because="You keep the share 1 - beta of the velocity. beta is what is left of it, so 0.9 means a long memory, not a short one."
def momentum_step(w, g, v, lr, beta=0.9):
    v = (1 - beta) * v + lr * g
    return w - v, v

# %% wrong="momentum_step" id="uphill" because="You add the velocity to the weights, and this velocity is made of gradients, which point uphill. The ball is rolling up."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g
    return w + v, v

# %% wrong="momentum_step" id="velocity_points_the_other_way" because="Your velocity has the opposite sign: you subtract the gradient in it and add it to the weights. From rest the weights come out the same, but the v that is handed in and out is the one of the equation."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v - lr * g
    return w + v, v

# %% wrong="momentum_step" id="learning_rate_twice" because="The learning rate enters twice, once in the velocity and again when the weights move. Once is enough: which of the two equations has it?"
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g
    return w - lr * v, v

# %% wrong="momentum_step" id="learning_rate_forgotten" because="The learning rate never comes into your step: the gradient enters the velocity at full length."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + g
    return w - v, v

# %% wrong="momentum_step" id="nesterov_in_disguise" because="You apply the friction and the push once more when the weights move. That is the form in which libraries write Nesterov's method; the heavy ball moves by the new velocity and nothing else."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g
    return w - (beta * v + lr * g), v

# %% wrong="momentum_step" id="first_push_is_the_raw_gradient" because="At rest you start the velocity with the gradient itself, without the learning rate. The equation makes no exception for the first step: a velocity of zero is a velocity."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g if np.any(v) else g
    return w - v, v

# %% wrong="momentum_step" id="results_swapped" because="You return the velocity first and the weights second. The docstring asks for w, then v."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g
    return v, w - v

# %% wrong="momentum_step" id="only_the_weights_returned" because="You return the weights only. The velocity has to survive until the next step, and the caller is the one who keeps it."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g
    return w - v

# %% wrong="momentum_step" id="changes_the_velocity_in_place" because="The numbers are right, but `*=` and `+=` rewrote the caller's velocity. Make a new array and return it."
def momentum_step(w, g, v, lr, beta=0.9):
    v *= beta
    v += lr * g
    return w - v, v

# %% wrong="momentum_step" id="changes_the_weights_in_place" because="The numbers are right, but `w -= v` rewrote the caller's weights. Make a new array and return it."
def momentum_step(w, g, v, lr, beta=0.9):
    v = beta * v + lr * g
    w -= v
    return w, v

# %% wrong="momentum_step" id="changes_the_gradient_in_place" because="The numbers are right, but you scaled the caller's gradient in place on the way: whoever looks at g afterwards finds another one."
def momentum_step(w, g, v, lr, beta=0.9):
    g *= lr
    v = beta * v + g
    return w - v, v

# %% wrong="momentum_step" id="single_precision" because="Your answers are the right ones rounded to float32: only about seven digits are kept. Leave the arrays in the precision they came in."
def momentum_step(w, g, v, lr, beta=0.9):
    v = (beta * v + lr * g).astype(np.float32)
    return (w - v).astype(np.float32), v

# %% picture="momentum_step" xlabel="step" ylabel="weight"
w, v, x, y = np.array([2.0]), np.array([-0.4]), np.arange(40), []
for t in x:
    y.append(w[0])
    w, v = momentum_step(w, 1.0 * w, v, lr=0.1 if t < 15 else 0.01, beta=0.8)

# %% check="momentum_step_adds_the_push_to_the_slowed_velocity"
w, v = momentum_step(np.array([1.0, 1.0]), np.array([2.0, 0.0]), np.array([0.5, 0.5]), lr=0.1, beta=0.8)
assert np.allclose(v, [0.6, 0.4]), f"the new velocity is 0.8*0.5 + 0.1*2 = 0.6 and 0.8*0.5 + 0 = 0.4; yours: {v}"
assert np.allclose(w, [0.4, 0.6]), f"the weights move by the new velocity: 1 - 0.6 and 1 - 0.4; yours: {w}"

# %% check="momentum_step_rolls_on_where_the_ground_is_flat"
w, v = np.array([0.0]), np.array([0.0])
for g in 1.0, 0.0, 0.0:
    w, v = momentum_step(w, np.array([g]), v, lr=1.0, beta=0.5)
assert np.allclose(w, -1.75), f"one push, then flat ground: the ball rolls 1, then 0.5, then 0.25; yours stands at {w}"

# %% check="momentum_step_leaves_its_inputs_alone"
w, g, v = np.array([1.0, 1.0]), np.array([2.0, 0.0]), np.array([0.5, 0.5])
momentum_step(w, g, v, lr=0.1)
assert np.array_equal(w, [1.0, 1.0]), "w was changed in place: `w -= ...` writes into the caller's array; `w - ...` makes a new one."
assert np.array_equal(g, [2.0, 0.0]), "g was changed in place: the gradient belongs to the caller."
assert np.array_equal(v, [0.5, 0.5]), "v was changed in place: return the new velocity, leave the old one as it was."

# %% probe="momentum_step_hidden" points=3
def weights_and_velocity_after_each_step_under_a_changing_lr(momentum_step, rng, points=2):
    """Gradients from 1e-8 to 1e4, some exactly zero; from rest and already rolling; lr drops by fifty."""
    for shape, beta, rolling in ((6,), 0.7, 0.0), ((3, 4), 0.95, 0.2):
        side = rng.choice([-1.0, 1.0], size=shape)
        w, v = side * rng.uniform(1.0, 2.0, size=shape), -side * rolling * rng.uniform(0.5, 1.0, size=shape)
        for step in range(12):
            g = -side * 10.0 ** rng.uniform(-8, 4, size=shape)
            g[rng.uniform(size=shape) < 0.2] = 0.0
            g.flat[-1] = 0.0
            lr = 0.3 if step < 5 else 0.006
            new = momentum_step(w, g, v, lr=lr, beta=beta)
            yield new, w, g, v
            w, v = new
    for lr, beta in (0.2, 0.6), (0.05, 0.99):
        w, v = rng.uniform(20.0, 30.0, size=5), rng.choice([-1.0, 1.0], size=5) * rng.uniform(5.0, 9.0, size=5)
        yield momentum_step(w, rng.uniform(-2.0, 2.0, size=5), v, lr=lr, beta=beta)

def single_numbers_deep_arrays_and_the_default_beta(momentum_step, rng, points=1):
    """Weights that are one number, a single entry, or an array with three axes; beta left out."""
    for kind in np.float64, np.array:
        w, v = kind(rng.uniform(1.0, 2.0)), kind(0.0)
        for lr in 0.3, 0.2, 1e-4:
            w, v = momentum_step(w, kind(-rng.uniform(0.1, 5.0)), v, lr)
            yield w, v
    for shape in (1,), (1, 1), (2, 3, 4):
        w, v = rng.uniform(1.0, 2.0, size=shape), -rng.uniform(0.1, 0.5, size=shape)
        yield momentum_step(w, rng.uniform(-5.0, 0.0, size=shape), v, 0.17)

# %% [markdown]
# ## Looking ahead
#
# Now the gradient cannot be handed in, because only your step knows where it will be needed. So you get the gradient as a function of the weights, and you decide where to call it.

# %% solve="nesterov_step"
def nesterov_step(grad, w, v, lr, beta=0.9):
    """One step of Nesterov's momentum: the weights and the velocity after it.

    grad  a function: grad(weights) is the gradient there, shaped like the weights
    w     the weights, float64 of any shape
    v     the velocity left by the step before, the same shape
    lr    the learning rate; it stands inside the velocity, in front of the gradient
    beta  the share of the velocity that friction leaves

    grad is called once, at the look-ahead point w - beta v.
    Returns the new w and the new v, in this order. Nothing is changed in place: not w,
    not v, and not the array that grad returned.
    """
    ### BEGIN SOLUTION
    g = grad(w - beta * v)
    v = beta * v + lr * g
    return w - v, v
    ### END SOLUTION

# %% wrong="nesterov_step" id="gradient_where_it_stands" because="You ask for the gradient at w, where the ball stands. That is plain momentum; Nesterov asks where the ball is about to be."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w)
    return w - v, v

# %% wrong="nesterov_step" id="looks_back" because="You look backwards: your look-ahead adds the velocity, but the weights move by subtracting it."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w + beta * v)
    return w - v, v

# %% wrong="nesterov_step" id="looks_too_far" because="You look ahead by the whole velocity. Friction acts first: how much of v will be left when the ball moves?"
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w - v)
    return w - v, v

# %% wrong="nesterov_step" id="look_ahead_scaled_by_the_learning_rate" because="You multiply the look-ahead by the learning rate. In our form lr is already inside the velocity, so v is a distance and needs no second lr."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w - lr * beta * v)
    return w - v, v

# %% wrong="nesterov_step" id="steps_from_the_look_ahead" because="You walk on from the look-ahead point, so the old velocity is paid twice. Looking ahead moves nothing: the new velocity is subtracted from w itself."
def nesterov_step(grad, w, v, lr, beta=0.9):
    ahead = w - beta * v
    v = beta * v + lr * grad(ahead)
    return ahead - v, v

# %% wrong="nesterov_step" id="only_the_gradient_from_the_look_ahead" because="The velocity you return is right, but the weights move by the gradient part of it only; the part that keeps rolling is missing."
def nesterov_step(grad, w, v, lr, beta=0.9):
    g = grad(w - beta * v)
    return w - lr * g, beta * v + lr * g

# %% wrong="nesterov_step" id="the_library_form" because="This is the form in which libraries write Nesterov: gradient at w, friction and push once more in the step. Its weights are the look-ahead points, not ours; here the gradient is taken at w - beta v."
def nesterov_step(grad, w, v, lr, beta=0.9):
    g = grad(w)
    v = beta * v + lr * g
    return w - (beta * v + lr * g), v

# %% wrong="nesterov_step" id="looks_ahead_after_the_push" because="You update the velocity with the gradient at w first and then look ahead with it, so two gradients go into one step. Look ahead with the old velocity; one gradient is enough."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w)
    v = beta * v + lr * grad(w - beta * v)
    return w - v, v

# %% wrong="nesterov_step" id="learning_rate_outside_the_velocity" because="Your learning rate stands outside the velocity. In our equation lr meets the gradient when the push is made, so that a later lr does not rescale old pushes."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + grad(w - lr * beta * v)
    return w - lr * v, v

# %% wrong="nesterov_step" id="gradient_averaged" because="You weigh the gradient by (1 - beta), which makes the velocity an average. In momentum the pushes add up at full strength."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + (1 - beta) * lr * grad(w - beta * v)
    return w - v, v

# %% wrong="nesterov_step" id="beta_fixed" because="Your friction is always 0.9: the caller's `beta` is ignored."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = 0.9 * v + lr * grad(w - 0.9 * v)
    return w - v, v

# %% wrong="nesterov_step" id="no_friction" because="You look ahead with friction, but the velocity itself never slows down: nothing multiplies the old one when the new one is made."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = v + lr * grad(w - beta * v)
    return w - v, v

# %% wrong="nesterov_step" id="old_velocity_returned" because="Your weights move rightly, but you hand back the velocity you were given, so the ball never gathers speed."
def nesterov_step(grad, w, v, lr, beta=0.9):
    new = beta * v + lr * grad(w - beta * v)
    return w - new, v

# %% wrong="nesterov_step" id="uphill" because="You add the velocity to the weights, and this velocity is made of gradients, which point uphill."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w - beta * v)
    return w + v, v

# %% wrong="nesterov_step" id="velocity_points_the_other_way" because="Your velocity has the opposite sign: you subtract the gradient in it, add it to the weights, and look ahead along it. The v that is handed in and out is the one of the equation, made of plus gradients."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v - lr * grad(w + beta * v)
    return w + v, v

# %% wrong="nesterov_step" id="results_swapped" because="You return the velocity first and the weights second. The docstring asks for w, then v."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w - beta * v)
    return v, w - v

# %% wrong="nesterov_step" id="changes_the_weights_in_place" because="The numbers are right, but `w -= v` rewrote the caller's weights. Make a new array and return it."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = beta * v + lr * grad(w - beta * v)
    w -= v
    return w, v

# %% wrong="nesterov_step" id="changes_the_velocity_in_place" because="The numbers are right, but `v *= beta` rewrote the caller's velocity. Make a new array and return it."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v *= beta
    v += lr * grad(w - v)
    return w - v, v

# %% wrong="nesterov_step" id="changes_the_gradient_in_place" because="The numbers are right, but you scaled the array that `grad` returned. It may be somebody's buffer: treat it as lent."
def nesterov_step(grad, w, v, lr, beta=0.9):
    g = grad(w - beta * v)
    g *= lr
    v = beta * v + g
    return w - v, v

# %% wrong="nesterov_step" id="single_precision" because="Your answers are the right ones rounded to float32: only about seven digits are kept. Leave the arrays in the precision they came in."
def nesterov_step(grad, w, v, lr, beta=0.9):
    v = (beta * v + lr * grad(w - beta * v)).astype(np.float32)
    return (w - v).astype(np.float32), v

# %% picture="nesterov_step" xlabel="step" ylabel="weight"
w, v, x, y = np.array([2.0]), np.array([-0.4]), np.arange(40), []
for t in x:
    y.append(w[0])
    w, v = nesterov_step(lambda point: 1.0 * point, w, v, lr=0.25 if t < 15 else 0.015, beta=0.8)

# %% check="nesterov_step_feels_the_slope_ahead"
w, v = nesterov_step(lambda p: 2 * p, np.array([1.0]), np.array([0.5]), lr=0.1, beta=0.8)
assert np.allclose(v, 0.52), f"look ahead to 1 - 0.8*0.5 = 0.6, where the gradient is 1.2; v = 0.4 + 0.1*1.2 = 0.52; yours: {v}"
assert np.allclose(w, 0.48), f"the new velocity is subtracted from w itself: 1 - 0.52 = 0.48; yours: {w}"

# %% check="nesterov_step_is_plain_momentum_on_an_even_slope"
g, w, v = np.array([2.0, -1.0]), np.array([1.0, 1.0]), np.array([0.5, 0.5])
ahead, here = nesterov_step(lambda p: g.copy(), w, v, lr=0.1), momentum_step(w, g, v, lr=0.1)
assert np.allclose(ahead, here), f"where looking ahead shows nothing new, both steps agree; nesterov_step: {ahead}, momentum_step: {here}"

# %% probe="nesterov_step_hidden" points=3
def weights_and_velocity_after_each_step_under_a_changing_lr(nesterov_step, rng, points=1):
    """A curved loss with slopes from 1e-6 to 10, one of them always zero; from rest and already rolling."""
    for shape, beta, rolling in ((6,), 0.7, 0.0), ((3, 4), 0.95, 1.5):
        side, scale = rng.choice([-1.0, 1.0], size=shape), 10.0 ** rng.uniform(-6, 1, size=shape)
        scale.flat[0], scale.flat[-1] = 10.0, 0.0
        w, v = side * rng.uniform(1.0, 2.0, size=shape), -side * rolling * rng.uniform(0.5, 1.0, size=shape)
        for step in range(12):
            handed = []
            def grad(point, handed=handed, side=side, scale=scale):
                handed.append(-side * scale * (3.0 - np.cos(point / (1.0 + scale))))
                return handed[-1]
            lr = 0.3 if step < 5 else 0.006
            new = nesterov_step(grad, w, v, lr=lr, beta=beta)
            yield new, w, v, handed[:1]
            w, v = new
    w, v = rng.uniform(20.0, 30.0, size=5), rng.choice([-1.0, 1.0], size=5) * rng.uniform(5.0, 9.0, size=5)
    yield nesterov_step(lambda point: 2.0 + np.sin(point), w, v, lr=0.2, beta=0.6)

def where_the_gradient_is_asked_for_and_how_often(nesterov_step, rng, points=1):
    """The points at which grad was called, step by step."""
    asked = []
    def grad(point):
        asked.append(np.array(point))
        return np.cos(point) - 3.0
    w, v = rng.uniform(1.0, 2.0, size=4), -rng.uniform(0.5, 1.0, size=4)
    for lr, beta in (0.1, 0.8), (0.05, 0.8), (0.05, 0.3), (0.2, 0.99):
        w, v = nesterov_step(grad, w, v, lr, beta)
        yield len(asked), asked

def single_numbers_deep_arrays_and_the_default_beta(nesterov_step, rng, points=1):
    """Weights that are one number, a single entry, or an array with three axes; beta left out."""
    for kind in np.float64, np.array:
        w, v = kind(rng.uniform(1.0, 2.0)), kind(0.0)
        for lr in 0.3, 0.2, 1e-4:
            w, v = nesterov_step(lambda point, kind=kind: kind(np.cos(point) - 3.0), w, v, lr)
            yield w, v
    for shape in (1,), (1, 1), (2, 3, 4):
        w, v = rng.uniform(1.0, 2.0, size=shape), -rng.uniform(0.1, 0.5, size=shape)
        yield nesterov_step(lambda point: np.cos(point) - 3.0, w, v, 0.17)

# %% [markdown]
# ## Predict, then run
#
# A long narrow valley: the slope across it is 25 times steeper than along it. Below, the same 120 steps at the same learning rate with no momentum ($\beta = 0$), with momentum, and with Nesterov's momentum. **Write down first:** which of the three reaches the lowest loss, whose loss goes *up* on the way, and why?

# %%
steep = np.array([1.0, 25.0])                       # loss = (w1^2 + 25 w2^2) / 2
ways = {"plain": lambda w, v: momentum_step(w, steep * w, v, lr=0.03, beta=0.0),
        "momentum": lambda w, v: momentum_step(w, steep * w, v, lr=0.03, beta=0.9),
        "Nesterov": lambda w, v: nesterov_step(lambda p: steep * p, w, v, lr=0.03, beta=0.9)}
for name, move in ways.items():
    path = [(np.array([10.0, 1.0]), np.zeros(2))]
    for _ in range(120):
        path.append(move(*path[-1]))
    plt.semilogy([steep @ w**2 / 2 for w, v in path], label=name)
labels = plt.xlabel("step"), plt.ylabel("loss"), plt.legend()

# %% [markdown] solve="why" points=2
# **In two sentences:** how long does the step become, compared with plain gradient descent, when the gradient stays the same for many steps at $\beta = 0.9$; and why does the same memory help *across* the valley, where the gradient changes its sign at every step?
#
# ### BEGIN SOLUTION
# Along the floor the pushes add up to the geometric series lr g (1 + 0.9 + 0.81 + ...) = 10 lr g, so the step becomes 1/(1 - beta) = ten times as long as that of plain gradient descent. Across the valley successive pushes have opposite signs, so the same sum nearly cancels (lr g (1 - 0.9 + 0.81 - ...), about half of one push), and the ball is held back exactly where it used to bounce.
# ### END SOLUTION
