# %% [markdown]
# # Stochastic gradient descent
#
# You are hiking down a mountain in thick fog: you cannot see the valley, but you can feel the slope under your feet. So you step downhill, and feel again. That is the whole algorithm:
#
# $$w_{t+1} = w_t - \eta\,\nabla L(w_t)$$
#
# *Stochastic* is how the slope is felt. The loss is a mean over many examples; for the squared error of a linear model with rows $x_i$ and targets $y_i$,
#
# $$L(w) = \frac{1}{n}\sum_{i=1}^{n} \tfrac12\,(x_i^\top w - y_i)^2 .$$
#
# Instead of all $n$ rows we take a few, the batch $B$, and use the gradient of the mean over those only. You will write the step and the gradient of one batch, then watch what a batch costs and what it buys. About 20 minutes. The chapter is `book/optimizers/sgd.md`.

# %%
import matplotlib.pyplot as plt
import numpy as np

# %% [markdown]
# ## The step
#
# One line of mathematics, one line of code. Mind two habits that every later step keeps: it *returns* the new weights, and it changes none of the arrays it was given.

# %% solve="sgd_step"
def sgd_step(w, g, lr):
    """One step of gradient descent: the weights after it.

    w   the weights, float64 of any shape (a scalar, a vector, a matrix ...)
    g   the gradient of the loss at w, the same shape
    lr  the learning rate, a positive number

    Returns the new w. Neither w nor g is changed in place: they are the caller's.
    """
    ### BEGIN SOLUTION
    return w - lr * g
    ### END SOLUTION

# %% wrong="sgd_step" id="uphill" because="You add the gradient, and the gradient points uphill: your weights climb the loss. Which way do you want to walk?"
def sgd_step(w, g, lr):
    return w + lr * g

# %% wrong="sgd_step" id="learning_rate_forgotten" because="Your step is the whole gradient, whatever the learning rate: `lr` never comes into it. Look at what multiplies the gradient in the equation."
def sgd_step(w, g, lr):
    return w - g

# %% wrong="sgd_step" id="learning_rate_fixed" because="Your learning rate is a number written into the function (0.01), so the caller's `lr` is ignored, and with it every schedule."
def sgd_step(w, g, lr):
    lr = 0.01
    return w - lr * g

# %% wrong="sgd_step" id="divides_by_the_learning_rate" because="You divide by the learning rate, so a smaller rate makes a longer step. Should a careful hiker take giant steps?"
def sgd_step(w, g, lr):
    return w - g / lr

# %% wrong="sgd_step" id="only_the_step" because="You return the step itself, not the place where it leads. The caller asked for the new weights."
def sgd_step(w, g, lr):
    return -lr * g

# %% wrong="sgd_step" id="changes_the_weights_in_place" because="The numbers are right, but you wrote them into the caller's own array: `w -= ...` changes the array that was handed in. Make a new one instead."
def sgd_step(w, g, lr):
    w -= lr * g
    return w

# %% wrong="sgd_step" id="changes_the_gradient_in_place" because="The new weights are right, but you multiplied the caller's gradient in place on the way: whoever looks at `g` afterwards finds it shrunk."
def sgd_step(w, g, lr):
    g *= lr
    return w - g

# %% wrong="sgd_step" id="returns_nothing" because="Your function returns None: it changes something and then forgets to hand it back. What should the caller receive?"
def sgd_step(w, g, lr):
    w = w - lr * g

# %% wrong="sgd_step" id="sign_of_the_gradient" because="You use only the sign of the gradient, so every weight moves equally far. In gradient descent a steeper slope makes a longer step."
def sgd_step(w, g, lr):
    return w - lr * np.sign(g)

# %% wrong="sgd_step" id="unit_gradient" because="You divide the gradient by its length first, so every step is lr long. That is normalized gradient descent: here, steep places must make longer steps."
def sgd_step(w, g, lr):
    return w - lr * g / np.linalg.norm(g)

# %% wrong="sgd_step" id="clipped_gradient" because="You clip the gradient to [-1, 1] before using it. Clipping is a useful safety belt, but the caller decides about it: the step takes the gradient as it comes."
def sgd_step(w, g, lr):
    return w - lr * np.clip(g, -1.0, 1.0)

# %% wrong="sgd_step" id="one_gradient_for_all" because="You average the gradient over the weights, so all weights make the same step. The mean belongs to the examples of the batch and was taken before; each weight keeps its own slope."
def sgd_step(w, g, lr):
    return w - lr * np.mean(g)

# %% wrong="sgd_step" id="divided_by_the_number_of_weights" because="You divide the gradient by the number of weights. The mean is taken over examples, when the gradient is computed; there is nothing left to divide here."
def sgd_step(w, g, lr):
    return w - lr * g / np.size(g)

# %% wrong="sgd_step" id="scaled_by_the_weight" because="Your step is multiplied by the weight itself: large weights take large steps, and a weight at zero can never leave it. Check what the learning rate multiplies."
def sgd_step(w, g, lr):
    return w * (1 - lr * g)

# %% wrong="sgd_step" id="single_precision" because="Your answer is the right one rounded to float32: only about seven digits are kept. Leave the arrays in the precision they came in."
def sgd_step(w, g, lr):
    return (w - lr * g).astype(np.float32)

# %% picture="sgd_step" xlabel="step" ylabel="first weight"
w, x, y = np.array([4.0, -2.0]), np.arange(25), []
for _ in x:
    y.append(w[0])
    w = sgd_step(w, np.array([1.0, 0.2]) * w, lr=0.15)

# %% check="sgd_step_walks_downhill"
w, g = np.array([1.0, 2.0]), np.array([0.5, -1.0])
new = sgd_step(w, g, lr=0.1)
assert new is not None, "sgd_step returned None: end the function with a return."
assert np.shape(new) == (2,), f"two weights go in, so two must come out; yours has the shape {np.shape(new)}"
assert np.allclose(new, [0.95, 2.1]), f"with pencil and paper: 1 - 0.1*0.5 = 0.95 and 2 + 0.1*1 = 2.1; yours: {new}"

# %% check="sgd_step_leaves_its_inputs_alone"
w, g = np.array([1.0, 2.0]), np.array([0.5, -1.0])
sgd_step(w, g, lr=0.1)
assert np.array_equal(w, [1.0, 2.0]), "w was changed in place. `w -= ...` writes into the caller's array; `w - ...` makes a new one."
assert np.array_equal(g, [0.5, -1.0]), "g was changed in place: the gradient belongs to the caller."

# %% probe="sgd_step_hidden" points=2
def the_weights_after_each_of_twelve_steps_under_a_changing_lr(sgd_step, rng, points=1):
    """Gradients from 1e-8 to 1e4, some exactly zero; a vector and a table of weights."""
    for shape in (7,), (3, 4):
        side = rng.choice([-1.0, 1.0], size=shape)
        w = side * rng.uniform(1.0, 2.0, size=shape)
        for step in range(12):
            g = -side * 10.0 ** rng.uniform(-8, 4, size=shape)
            g[rng.uniform(size=shape) < 0.2] = 0.0
            g.flat[-1] = 0.0
            new = sgd_step(w, g, lr=0.4 * 0.8**step)
            yield new, w, g
            w = new
    for lr in 0.25, 0.003:
        w = rng.choice([-1.0, 1.0], size=6) * rng.uniform(1.0, 2.0, size=6)
        yield sgd_step(w, rng.uniform(-1.6, 1.6, size=6), lr=lr)

def single_numbers_and_deep_arrays(sgd_step, rng, points=1):
    """Weights that are one number, a single entry, or an array with three axes."""
    for kind in np.float64, np.array:
        w = kind(rng.uniform(1.0, 2.0))
        for lr in 0.3, 0.2, 1e-4:
            w = sgd_step(w, kind(-rng.uniform(0.1, 5.0)), lr)
            yield w
    for shape in (1,), (1, 1), (2, 3, 4):
        yield sgd_step(rng.uniform(1.0, 2.0, size=shape), rng.uniform(-5.0, 0.0, size=shape), 0.17)

# %% [markdown]
# ## The gradient of one batch
#
# Work the gradient out on paper first: differentiate $\frac{1}{|B|}\sum_{i \in B}\tfrac12 (x_i^\top w - y_i)^2$ with respect to $w$. What does the $\tfrac12$ do? What does the gradient have as many entries as: rows, or weights?

# %% solve="minibatch_gradient"
def minibatch_gradient(w, X, y, batch):
    """The gradient of half the mean squared error, on the rows of one batch only.

    w      the weights, a vector with one entry per column of X
    X      the inputs, one row per example
    y      the targets, a vector with one entry per row of X
    batch  the numbers of the rows to use, a list or a 1-D integer array;
           a row named twice counts twice

    The loss is the mean, over the rows in the batch, of (x.w - y)^2 / 2.
    Returns its gradient, a vector shaped like w. Nothing is changed in place.
    """
    ### BEGIN SOLUTION
    rows = X[batch]
    error = rows @ w - y[batch]
    return rows.T @ error / len(batch)
    ### END SOLUTION

# %% wrong="minibatch_gradient" id="all_rows" because="You use every row of X and ignore `batch`. That is the full gradient: right on average, and as expensive as the whole data set."
def minibatch_gradient(w, X, y, batch):
    return X.T @ (X @ w - y) / len(y)

# %% wrong="minibatch_gradient" id="sum_not_mean" because="You add up the rows' gradients and never take the mean, so a batch twice as large makes a step twice as long."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (rows @ w - y[batch])

# %% wrong="minibatch_gradient" id="divided_by_all_rows" because="You divide by the number of rows in the whole data set. The mean is over the rows you added up: how many were those?"
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (rows @ w - y[batch]) / len(y)

# %% wrong="minibatch_gradient" id="divided_by_the_number_of_weights" because="You divide by the number of columns, that is of weights. The mean is over examples."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (rows @ w - y[batch]) / X.shape[1]

# %% wrong="minibatch_gradient" id="factor_two" because="Your gradient is twice too long: the loss has a factor one half in front of the square, and it is there to cancel something."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return 2 * rows.T @ (rows @ w - y[batch]) / len(batch)

# %% wrong="minibatch_gradient" id="factor_half" because="Your gradient is half as long as it should be. You kept the one half of the loss, but differentiating a square brings something along that cancels it."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (rows @ w - y[batch]) / (2 * len(batch))

# %% wrong="minibatch_gradient" id="error_backwards" because="Your gradient has the wrong sign, so it points downhill, and the step's minus sign would then lead uphill. Differentiate the error: prediction minus target."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (y[batch] - rows @ w) / len(batch)

# %% wrong="minibatch_gradient" id="repeats_dropped" because="You count a row once even when the batch names it twice. Sampling with replacement does name rows twice, and then they weigh twice."
def minibatch_gradient(w, X, y, batch):
    batch = np.unique(batch)
    rows = X[batch]
    return rows.T @ (rows @ w - y[batch]) / len(batch)

# %% wrong="minibatch_gradient" id="mask_of_rows" because="You turn the batch into a mask of rows that are in or out. A row named twice then enters once, but you still divide by the full length of the batch."
def minibatch_gradient(w, X, y, batch):
    chosen = np.isin(np.arange(len(y)), batch)
    return X[chosen].T @ (X[chosen] @ w - y[chosen]) / len(batch)

# %% wrong="minibatch_gradient" id="first_rows" because="You take as many rows as the batch has, but always the first ones. `batch` says which rows, not only how many."
def minibatch_gradient(w, X, y, batch):
    n = len(batch)
    return X[:n].T @ (X[:n] @ w - y[:n]) / n

# %% wrong="minibatch_gradient" id="targets_of_other_rows" because="Inputs and targets are out of step: the rows of X are those of the batch, but the targets are the first ones of y."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (rows @ w - y[:len(batch)]) / len(batch)

# %% wrong="minibatch_gradient" id="rows_counted_from_one" because="Your rows are one off: you count them from 1, NumPy and `batch` count them from 0."
def minibatch_gradient(w, X, y, batch):
    batch = np.asarray(batch) - 1
    rows = X[batch]
    return rows.T @ (rows @ w - y[batch]) / len(batch)

# %% wrong="minibatch_gradient" id="means_multiplied" because="You multiply the mean input by the mean error. The mean of products is not the product of means: each row's error must meet that row's own input."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.mean(axis=0) * (rows @ w - y[batch]).mean()

# %% wrong="minibatch_gradient" id="only_the_sign_of_the_error" because="You keep only the sign of each error. That is the gradient of the absolute error; for the squared error, large errors pull harder."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ np.sign(rows @ w - y[batch]) / len(batch)

# %% wrong="minibatch_gradient" id="targets_forgotten" because="The targets y never come into your gradient: it pulls the predictions to zero. The error is the prediction minus something."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch]
    return rows.T @ (rows @ w) / len(batch)

# %% wrong="minibatch_gradient" id="the_loss_itself" because="You return the loss, one number. The gradient has one entry for each weight: it says how the loss changes with that weight."
def minibatch_gradient(w, X, y, batch):
    return np.mean((X[batch] @ w - y[batch]) ** 2) / 2

# %% wrong="minibatch_gradient" id="changes_the_targets_in_place" because="The gradient is right, but you wrote the errors into the caller's y: at the next step the targets are gone."
def minibatch_gradient(w, X, y, batch):
    error = X[batch] @ w - y[batch]
    y[batch] = error
    return X[batch].T @ error / len(batch)

# %% wrong="minibatch_gradient" id="single_precision" because="Your answer is the right one rounded to float32: only about seven digits are kept. Leave the arrays in the precision they came in."
def minibatch_gradient(w, X, y, batch):
    rows = X[batch].astype(np.float32)
    error = rows @ w.astype(np.float32) - y[batch].astype(np.float32)
    return rows.T @ error / np.float32(len(batch))

# %% picture="minibatch_gradient" xlabel="first weight" ylabel="gradient, first entry"
X, targets = np.array([[1.0, 0.5], [2.0, -1.0], [-1.0, 1.0], [0.5, 2.0], [1.5, 3.0]]), np.array([1.0, 5.0, 0.0, 2.0, 4.0])
x = np.linspace(-2.0, 4.0, 61)
y = [np.ravel(minibatch_gradient(np.array([w, 1.0]), X, targets.copy(), [4, 1, 1]))[0] for w in x]

# %% check="minibatch_gradient_is_the_mean_over_the_batch"
X, y = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), np.array([1.0, 2.0, 0.0])
w = np.array([1.0, 2.0])          # the errors of the three rows: 0, 2, 3
g = minibatch_gradient(w, X, y, [1, 2])
assert np.shape(g) == (2,), f"one entry for each of the two weights, please; yours has the shape {np.shape(g)}"
assert np.allclose(g, [4.5, 2.0]), f"rows 1 and 2: (2*[0, 2] + 3*[3, 0]) / 2 = [4.5, 2]; yours: {g}"

# %% check="minibatch_gradient_counts_a_repeated_row_twice"
X, y = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]), np.array([1.0, 2.0, 0.0])
g = minibatch_gradient(np.array([1.0, 2.0]), X, y, np.array([1, 1, 2]))
assert np.allclose(g, [3.0, 8 / 3]), f"rows 1, 1 and 2: (2*[0, 2] + 2*[0, 2] + 3*[3, 0]) / 3 = [3, 8/3]; yours: {g}"

# %% probe="minibatch_gradient_hidden" points=3
def the_gradient_of_batches_of_many_sizes(minibatch_gradient, rng, points=2, atol=1e-12):
    """Arrays of row numbers, out of order, some rows named more than once."""
    for n, d in (11, 4), (30, 7), (9, 2):
        X, y, w = rng.normal(size=(n, d)), 3.0 * rng.normal(size=n), rng.normal(size=d)
        for size in 3, 5, n - 1, n:
            batch = rng.integers(1, n, size=size)
            batch[0] = batch[-1] = n - 1
            yield minibatch_gradient(w, X, y, batch)
        yield w, X, y

def lists_single_rows_and_a_single_weight(minibatch_gradient, rng, points=1, atol=1e-12):
    """The batch as a list of integers; a batch of one; one weight only."""
    for d in 1, 3:
        X, y, w = rng.normal(size=(8, d)), 3.0 * rng.normal(size=8), rng.normal(size=d)
        for batch in [7, 2, 5], [4], [0, 0, 0, 6], list(range(8)):
            yield minibatch_gradient(w, X, y, batch)
        yield minibatch_gradient(w, X, y, np.array([5]))

# %% [markdown]
# ## Predict, then run
#
# Below, the same noisy data set of 200 rows is fitted three times, 150 steps each at the same learning rate: with batches of 1 row, of 10 rows, and with all rows at every step. **Write down first:** which curve is the smoothest, which ends lowest, and does the curve of batch 1 ever come to rest?

# %%
rng = np.random.default_rng(0)
X, truth = rng.normal(size=(200, 5)), np.arange(1.0, 6.0)
y = X @ truth + rng.normal(size=200)
for size in 1, 10, 200:
    w, losses = np.zeros(5), []
    for _ in range(150):
        w = sgd_step(w, minibatch_gradient(w, X, y, rng.permutation(200)[:size]), lr=0.1)
        losses.append(np.mean((X @ w - y) ** 2) / 2)
    plt.semilogy(losses, label=f"batch of {size}")
labels = plt.xlabel("step"), plt.ylabel("loss on all rows"), plt.legend()

# %% [markdown] solve="why" points=2
# A batch of 10 costs a tenth of a batch of 100. **In two sentences:** why does the noise of the gradient not shrink by a factor of ten when the batch grows tenfold, and why does batch 1 keep jittering instead of coming to rest at the minimum, as long as the learning rate stays the same?
#
# ### BEGIN SOLUTION
# The gradient of a batch is a mean of |B| independent examples, so its standard deviation falls like one over the square root of |B|: ten times the work buys only about 3.2 times less noise. At the minimum the full gradient is zero but the gradients of single rows are not, so each step still moves the weights by lr times noise, and only a smaller learning rate (or a larger batch) makes that jitter smaller.
# ### END SOLUTION
