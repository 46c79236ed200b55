# %% [markdown]
# # Adam
#
# A smart hiking companion remembers two things: which way you have been walking, and how steep the ground has been. Adam keeps both for every single weight: $m$, a running mean of the gradients, and $v$, a running mean of their squares. It walks along the first and divides by the root of the second, so a weight with tiny gradients and a weight with huge ones take steps of the same size:
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\, g_t^2$$
#
# $$\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t}$$
#
# $$w_t = w_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}$$
#
# Here $g_t = \nabla L(w_{t-1})$. The middle line repairs the start: both means begin at zero, so at first they are too small. You will write this step, then AdamW, which adds weight decay in the one place where it does not spoil the rest. About 25 minutes. The chapter is `book/optimizers/adam.md`; the equations are Algorithm 1 of Kingma and Ba (2015).

# %%
import matplotlib.pyplot as plt
import numpy as np

# %% [markdown]
# ## The step
#
# Translate the five equations, in their order. Two things to keep an eye on: where $\epsilon$ stands, and which of your quantities the next step needs back.

# %% solve="adam_step"
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """One step of Adam: the weights and both running means after it.

    w      the weights, float64 of any shape (a scalar, a vector, a matrix ...)
    g      the gradient of the loss at w, the same shape
    m, v   the running means of g and of g*g left by the step before (zero before the
           first step), without bias correction, the same shape as w
    t      the number of this step, 1 at the first
    lr     the learning rate; it may change from step to step
    betas  (beta1, beta2), what m and v keep of their past
    eps    a small number, added to the root and not under it

    Returns the new w, m and v, in this order; m and v again without bias correction.
    None of the arrays handed in is changed in place.
    """
    ### BEGIN SOLUTION
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v
    ### END SOLUTION

# %% wrong="adam_step" id="no_bias_correction" because="You never correct the bias: m and v start at zero, so during the first steps they are far too small, and by different factors. What are m and v after one step, in terms of g?"
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m
    v_hat = v
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="bias_corrected_in_m_only" because="You correct the bias of m but use v as it is. Both start at zero; v, with its longer memory, is the one that suffers longer."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="bias_corrected_in_v_only" because="You correct the bias of v but use m as it is. Both averages start at zero, so both need their correction."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="bias_correction_of_the_first_step_for_ever" because="You divide by 1 - beta and not by 1 - beta to the power t, so every step is corrected as if it were the first. How much of the zero at the start is still in the average after t steps?"
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1)
    v_hat = v / (1 - beta2)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="bias_correction_multiplies" because="You multiply by the bias correction where you should divide. The averages are too small at the start; multiplying by a number below 1 makes them smaller still."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m * (1 - beta1**t)
    v_hat = v * (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="beta_times_t" because="Your bias correction has beta times t, where the equation has beta to the power t."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1 * t)
    v_hat = v / (1 - beta2 * t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="one_step_ahead" because="Your bias correction counts one step too many: it uses t + 1. `t` is already 1 at the first step."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1 ** (t + 1))
    v_hat = v / (1 - beta2 ** (t + 1))
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="same_bias_correction_for_both" because="You correct v with beta1. Each average is corrected with the beta that made it."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta1**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="root_of_the_correction_forgotten" because="You fold both corrections into the learning rate, a fine idea, but the one of v comes from under a square root and must go in as a root."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    rate = lr * (1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (np.sqrt(v) + eps), m, v

# %% wrong="adam_step" id="eps_inside_the_root" because="Your epsilon is inside the square root; there its own root is what counts, and the root of 1e-8 is 1e-4, ten thousand times more than intended. Compare the last equation."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat + eps)), m, v

# %% wrong="adam_step" id="eps_before_the_correction" because="Your epsilon is added to the root of v before the bias of v is corrected, so at the start it weighs much more than it should. The paper calls this variant epsilon-hat; the equation adds epsilon to the root of the corrected v."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return w - rate * m / (np.sqrt(v) + eps), m, v

# %% wrong="adam_step" id="eps_forgotten" because="You left epsilon out: a weight that has never had a gradient divides zero by zero."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / np.sqrt(v_hat), m, v

# %% wrong="adam_step" id="eps_fixed" because="Your epsilon is always 1e-8: the caller's `eps` is ignored."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + 1e-8), m, v

# %% wrong="adam_step" id="eps_outside_the_division" because="Your epsilon comes after the division, so it is added to the weight and not to the root: every weight drifts, gradient or not, and a weight without a gradient divides zero by zero. Look for a missing pair of brackets."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / np.sqrt(v_hat) + eps, m, v

# %% wrong="adam_step" id="betas_fixed" because="Your betas are always 0.9 and 0.999: the caller's `betas` are ignored."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = 0.9, 0.999
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="betas_swapped" because="You use beta1 where beta2 belongs and the other way round. Which of the two averages is meant to have the long memory?"
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta2, beta1 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="learning_rate_fixed" because="Your learning rate is always 0.001: the caller's `lr` is ignored, and with it every schedule."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - 1e-3 * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="learning_rate_falls_with_the_root_of_t" because="You divide the learning rate by the root of t. The paper does so in its proof of convergence; Algorithm 1 does not: schedules are the caller's."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr / np.sqrt(t) * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="uphill" because="You add the step, so the weights climb the loss. m is made of gradients, and gradients point uphill."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w + lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="v_without_the_square" because="You average the size of the gradient, not its square, and then still take the root. What must be squared so that the root gives a size again?"
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * np.abs(g)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="no_square_root" because="You divide by v-hat itself. v is a mean of squares: without the root, small gradients make enormous steps."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (v_hat + eps), m, v

# %% wrong="adam_step" id="m_is_not_averaged" because="The new gradient enters m at full weight, so m becomes a sum, as in momentum, and not a mean. What do the two weights of an average add up to?"
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="v_is_not_averaged" because="The new square enters v at full weight, so v becomes a sum and not a mean, and the steps come out too short."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="v_averages_the_smoothed_gradient" because="You square m, the smoothed gradient, where the raw one is meant. v measures how large single gradients are, cancellations included."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * m**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="v_never_falls" because="Your v never gets smaller: you keep the largest one seen. That is AMSGrad, a later variant; here v forgets."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = np.maximum(v, beta2 * v + (1 - beta2) * g**2)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="one_v_for_all_weights" because="You average the squares over the weights, so all of them share one step size. Adam's point is that every weight has its own."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * np.mean(g**2)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="looks_ahead" because="You mix the new gradient into m once more before the step. That is Nadam, Nesterov's idea in Adam; Algorithm 1 uses the corrected m as it is."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="uses_the_old_means" because="You compute the step from the m and v that were handed in, so this step's gradient acts only at the next one. Update first, then step."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return w, m, v

# %% wrong="adam_step" id="forgets_the_past" because="The m and v you are given never enter the new ones: each step starts its averages from nothing."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = (1 - beta1) * g
    v = (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="returns_the_corrected_means" because="You return m-hat and v-hat, so the next step corrects what is already corrected. The correction is for this step's use only; what is carried on is the plain average."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m_hat, v_hat

# %% wrong="adam_step" id="returns_the_old_means" because="Your weights move rightly, but you hand back the m and v you were given, so nothing is ever remembered."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    new_m = beta1 * m + (1 - beta1) * g
    new_v = beta2 * v + (1 - beta2) * g**2
    m_hat = new_m / (1 - beta1**t)
    v_hat = new_v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="returns_only_the_weights" because="You return the weights only. m and v have to survive until the next step, and the caller is the one who keeps them."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)

# %% wrong="adam_step" id="results_in_another_order" because="You return m and v first and the weights last. The docstring asks for w, then m, then v."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return m, v, w - lr * m_hat / (np.sqrt(v_hat) + eps)

# %% wrong="adam_step" id="zero_gradients_skipped" because="Where the gradient is exactly zero you leave the weight and its averages as they are. A zero is news too: m and v must fade, and the weight rolls on."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    old_m, old_v = m, v
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    new = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    return np.where(g == 0, w, new), np.where(g == 0, old_m, m), np.where(g == 0, old_v, v)

# %% wrong="adam_step" id="clipped_gradient" because="You clip the gradient to [-1, 1] before using it. Clipping is a useful safety belt, but the caller decides about it."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    g = np.clip(g, -1.0, 1.0)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="clipped_step" because="You never let a weight move by more than lr. It hardly ever does, but when gradients suddenly become small it may: Algorithm 1 has no such limit."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * np.clip(m_hat / (np.sqrt(v_hat) + eps), -1.0, 1.0), m, v

# %% wrong="adam_step" id="changes_the_weights_in_place" because="The numbers are right, but `w -= ...` rewrote the caller's weights. Make a new array and return it."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    w -= lr * m_hat / (np.sqrt(v_hat) + eps)
    return w, m, v

# %% wrong="adam_step" id="changes_the_means_in_place" because="The numbers are right, but `*=` and `+=` rewrote the m and v that were handed in. Make new arrays and return them."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="changes_the_gradient_in_place" because="The numbers are right, but you squared the caller's gradient in place on the way: whoever looks at g afterwards finds another one."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    g *= g
    v = beta2 * v + (1 - beta2) * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

# %% wrong="adam_step" id="single_precision" because="Your answers are the right ones rounded to float32: only about seven digits are kept. Leave the arrays in the precision they came in."
def adam_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    return np.float32(w), np.float32(m), np.float32(v)

# %% picture="adam_step" xlabel="step" ylabel="first weight"
w, m, v, x, y = np.array([2.0, 1.0]), np.zeros(2), np.zeros(2), np.arange(60), []
for t in x:
    y.append(w[0])
    g = np.array([0.05, 3.0]) * w if t % 4 else np.zeros(2)
    w, m, v = adam_step(w, g, m, v, t + 1, lr=0.1 if t < 30 else 0.02, betas=(0.8, 0.95), eps=0.02)

# %% check="adam_step_first_step_is_lr_long"
zero = np.zeros(2)
w, m, v = adam_step(zero, np.array([30.0, -0.004]), zero, zero, t=1, lr=0.1)
assert np.allclose(m, [3.0, -0.0004]), f"the new m is 0.9*0 + 0.1*g = [3, -0.0004]; yours: {m}"
assert np.allclose(v, [0.9, 1.6e-8], atol=0), f"the new v is 0.999*0 + 0.001*g*g = [0.9, 1.6e-8]; yours: {v}"
assert np.allclose(w, [-0.1, 0.1], rtol=1e-4), f"at the first step m_hat is g and v_hat is g*g, so every weight moves by lr, whatever its gradient; yours: {w}"

# %% check="adam_step_second_step_by_hand"
w, m, v = np.array([0.0]), np.array([1.0]), np.array([1.0])        # after one step with g = 2, betas 1/2 and 3/4
w, m, v = adam_step(w, np.array([0.0]), m, v, t=2, lr=1.0, betas=(0.5, 0.75))
assert np.allclose([m[0], v[0]], [0.5, 0.75]), f"a zero gradient lets both means fade: m = 1/2, v = 3/4; yours: {m}, {v}"
assert np.allclose(w, -np.sqrt(7 / 27)), f"m_hat = (1/2) / (1 - 1/4) = 2/3 and v_hat = (3/4) / (1 - 9/16) = 12/7, so w = -(2/3) / sqrt(12/7) = -0.509; yours: {w}"

# %% check="adam_step_leaves_its_inputs_alone"
w, g, m, v = (np.array([x, 1.0]) for x in (4.0, 3.0, 2.0, 1.0))
adam_step(w, g, m, v, t=5)
for name, array, first in zip("wgmv", (w, g, m, v), (4.0, 3.0, 2.0, 1.0)):
    assert np.array_equal(array, [first, 1.0]), f"{name} was changed in place: `{name} *= ...` writes into the caller's array; `{name} = {name} * ...` makes a new one."

# %% probe="adam_step_hidden" points=4
def the_weights_and_both_means_after_each_step_under_a_changing_lr(adam_step, rng, points=2):
    """Gradients from 1e-8 to 1e4, some exactly zero, one changing its sign; from rest and from a later step."""
    for shape, lr, betas, eps, done in (((8,), 0.01, (0.95, 0.6), 1e-8, 0), ((3, 4), 0.03, (0.7, 0.93), 1e-3, 0), ((9,), 0.1, (0.8, 0.9), 0.05, 3)):
        side, scale = rng.choice([-1.0, 1.0], size=shape), np.zeros(shape)
        scale.flat[:-1] = rng.permutation(10.0 ** np.linspace(-8, 4, scale.size - 1))
        w = side * rng.uniform(3.0, 5.0, size=shape)
        m = -side * scale * rng.uniform(0.5, 1.0, size=shape) * (done > 0)
        v = scale**2 * rng.uniform(1.0, 2.0, size=shape) * (done > 0)
        m.flat[0] = v.flat[0] = 0.0
        for step in range(12):
            g = -side * scale * rng.uniform(0.3, 3.0, size=shape)
            g[rng.uniform(size=shape) < 0.15] = 0.0
            g.flat[0] = 1e-4 * (-4.0) ** step
            lr = lr / 8 if step == 6 else lr * 0.95
            new = adam_step(w, g, m, v, done + step + 1, lr=lr, betas=betas, eps=eps)
            yield new, w, g, m, v
            w, m, v = new
    for t, lr, betas, eps in ((7, 0.1, (0.6, 0.8), 0.5), (2, 0.2, (0.9, 0.99), 1e-8), (5000, 0.05, (0.9, 0.999), 3.0)):
        w, g = rng.uniform(3.0, 5.0, size=5), rng.uniform(-2.0, 2.0, size=5)
        m, v = rng.choice([-1.0, 1.0], size=5) * rng.uniform(20.0, 30.0, size=5), rng.uniform(200.0, 900.0, size=5)
        yield adam_step(w, g, m, v, t, lr=lr, betas=betas, eps=eps)

def tiny_gradients_where_eps_matters(adam_step, rng, points=1):
    """Gradients as small as eps, and far smaller."""
    for size in 1e-7, 1e-8, 1e-11:
        side, w, m, v = rng.choice([-1.0, 1.0], size=5), np.zeros(5), np.zeros(5), np.zeros(5)
        for t in range(1, 7):
            w, m, v = adam_step(w, side * size * rng.uniform(0.3, 3.0, size=5), m, v, t, lr=0.01)
            yield w, m, v

def single_numbers_deep_arrays_and_all_defaults(adam_step, rng, points=1):
    """Weights that are one number, a single entry, or an array with three axes; everything optional left out."""
    for kind in np.float64, np.array:
        w, m, v = kind(rng.uniform(1.0, 2.0)), kind(0.0), kind(0.0)
        for t in 1, 2, 3:
            w, m, v = adam_step(w, kind(-rng.uniform(0.1, 5.0)), m, v, t)
            yield w, m, v
    for shape in (1,), (1, 1), (2, 3, 4):
        g, m, v = -rng.uniform(0.1, 5.0, size=shape), -rng.uniform(1.0, 2.0, size=shape), rng.uniform(1.0, 2.0, size=shape)
        yield adam_step(rng.uniform(1.0, 2.0, size=shape), g, m, v, 3)

# %% [markdown]
# ## AdamW
#
# Weight decay pulls every weight gently towards zero. If its pull $\lambda w$ is added to the gradient, Adam divides it by $\sqrt{\hat v}$ like everything else, and the weights with large gradients hardly decay at all. AdamW keeps the two apart:
#
# $$w_t = w_{t-1} - \eta\,\lambda\, w_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}$$
#
# Both pulls start from the old weights, and the gradient's means know nothing of the decay.

# %% solve="adamw_step"
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    """One step of AdamW, Adam with decoupled weight decay: the new weights and means.

    Everything is as in adam_step, and besides

    weight_decay  the decay: the old w, times lr, times weight_decay, is taken off

    The decay enters neither m nor v. Arrays may have any shape, scalars included.
    Returns the new w, m and v, in this order; m and v without bias correction.
    None of the arrays handed in is changed in place.
    """
    ### BEGIN SOLUTION
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - lr * step, m, v
    ### END SOLUTION

# %% wrong="adamw_step" id="decay_in_the_gradient" because="You add the decay to the gradient. That is Adam with an L2 penalty: the decay is smoothed and divided by the root of v with everything else. In AdamW it never meets the gradient."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    g = g + weight_decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - step, m, v

# %% wrong="adamw_step" id="decay_in_the_first_mean_only" because="Your decay goes through m, so it is smoothed, corrected and divided by the root of v. It should act on the weights directly."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * (g + weight_decay * w)
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - step, m, v

# %% wrong="adamw_step" id="decay_divided_by_the_root_of_v" because="Your decay is divided by the root of v together with m, so weights with large gradients hardly decay. Keep the two terms apart."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * (m_hat + weight_decay * w) / (np.sqrt(v_hat) + eps)
    return w - step, m, v

# %% wrong="adamw_step" id="decay_without_the_learning_rate" because="Your decay is not multiplied by the learning rate, so it is far too strong and does not follow the schedule."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - weight_decay * w - step, m, v

# %% wrong="adamw_step" id="decay_after_the_step" because="You take the step first and let the new weights decay. The difference is small, but the decay in the equation is of the old weights."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return (w - step) * (1 - lr * weight_decay), m, v

# %% wrong="adamw_step" id="decay_forgotten" because="The decay never comes into your step: this is plain Adam."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - step, m, v

# %% wrong="adamw_step" id="decay_fixed" because="Your decay is always 0.01: the caller's `weight_decay` is ignored."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * 0.01 * w - step, m, v

# %% wrong="adamw_step" id="decay_grows_the_weights" because="You add the decay, so the weights grow by themselves. It should pull them towards zero."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w + lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="decay_twice_as_strong" because="Your decay is twice too strong. The gradient of a squared penalty has a factor 2, but AdamW's decay is defined without it."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - 2 * lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="decay_with_the_learning_rate_squared" because="The learning rate enters your decay twice, so it all but vanishes. Once is enough."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="decay_of_equal_size_for_all" because="You take the same amount off every weight, by its sign alone. That is the pull of an L1 penalty; weight decay takes a fraction, so large weights lose more."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * np.sign(w) - step, m, v

# %% wrong="adamw_step" id="decay_only_where_there_is_a_gradient" because="A weight whose gradient is zero does not decay in your step. Decay does not ask for a gradient: it is a pull of its own."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w * (g != 0) - step, m, v

# %% wrong="adamw_step" id="decay_only_of_matrices" because="You let matrices decay and leave vectors alone. Leaving biases out is common practice, but it is the caller's choice; this step treats all shapes alike."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w * (np.ndim(w) > 1) - step, m, v

# %% wrong="adamw_step" id="decay_bias_corrected" because="You divide the decay by the bias correction of m. The decay is no average, so it has no bias."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w / (1 - beta1**t) - step, m, v

# %% wrong="adamw_step" id="no_bias_correction" because="The decay is not the trouble: you never correct the bias of m and v, which start at zero."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m
    v_hat = v
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="bias_correction_of_the_first_step_for_ever" because="The decay is not the trouble: you divide by 1 - beta and not by 1 - beta to the power t, so every step is corrected as if it were the first."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1)
    v_hat = v / (1 - beta2)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="eps_inside_the_root" because="The decay is not the trouble: your epsilon is inside the square root, where its own root is what counts."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat + eps))
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="eps_fixed" because="The decay is not the trouble: your epsilon is always 1e-8, and the caller's `eps` is ignored."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + 1e-8)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="betas_fixed" because="The decay is not the trouble: your betas are always 0.9 and 0.999, and the caller's `betas` are ignored."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = 0.9, 0.999
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="betas_swapped" because="The decay is not the trouble: you use beta1 where beta2 belongs and the other way round."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta2, beta1 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="learning_rate_fixed" because="Your learning rate is always 0.001: the caller's `lr` is ignored, in the step and in the decay."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    lr = 1e-3
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="returns_the_old_means" because="Your weights move rightly, but you hand back the m and v you were given, so nothing is ever remembered."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    new_m = beta1 * m + (1 - beta1) * g
    new_v = beta2 * v + (1 - beta2) * g**2
    m_hat = new_m / (1 - beta1**t)
    v_hat = new_v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="returns_only_the_weights" because="You return the weights only. m and v have to survive until the next step, and the caller is the one who keeps them."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step

# %% wrong="adamw_step" id="changes_the_weights_in_place" because="The numbers are right, but `w *= ...` and `w -= ...` rewrote the caller's weights. Make a new array and return it."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    w *= 1 - lr * weight_decay
    w -= step
    return w, m, v

# %% wrong="adamw_step" id="changes_the_means_in_place" because="The numbers are right, but `*=` and `+=` rewrote the m and v that were handed in. Make new arrays and return them."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    return w - lr * weight_decay * w - step, m, v

# %% wrong="adamw_step" id="single_precision" because="Your answers are the right ones rounded to float32: only about seven digits are kept. Leave the arrays in the precision they came in."
def adamw_step(w, g, m, v, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    step = lr * m_hat / (np.sqrt(v_hat) + eps)
    w = w - lr * weight_decay * w - step
    return np.float32(w), np.float32(m), np.float32(v)

# %% picture="adamw_step" xlabel="step" ylabel="first weight"
w, m, v, x, y = np.array([4.0, 1.0]), np.zeros(2), np.zeros(2), np.arange(60), []
for t in x:
    y.append(w[0])
    g = np.array([-0.05, 3.0]) * w if t < 25 else np.zeros(2)
    w, m, v = adamw_step(w, g, m, v, t + 1, lr=0.1, betas=(0.8, 0.95), eps=0.02, weight_decay=0.3)

# %% check="adamw_step_shrinks_a_weight_without_gradient_by_a_fixed_share"
zero = np.zeros(2)
w, m, v = adamw_step(np.array([2.0, -20.0]), zero, zero, zero, t=1, lr=0.1, weight_decay=0.5)
assert np.allclose(w, [1.9, -19.0]), f"no gradient, so only the decay acts: each weight loses 0.1*0.5 = 5 percent of itself; yours: {w}"
assert np.allclose([m, v], 0), f"the decay must not enter the means, which stay zero here; yours: {m}, {v}"

# %% check="adamw_step_adds_the_decay_to_the_step_of_adam"
one, zero = np.array([1.0]), np.array([0.0])
w, m, v = adamw_step(2 * one, 4 * one, zero, zero, t=1, lr=0.1, weight_decay=0.5)
assert np.allclose(w, 1.8), f"the decay takes 0.1*0.5*2 = 0.1 and Adam's first step another lr = 0.1, both from w = 2; yours: {w}"

# %% probe="adamw_step_hidden" points=3
def the_weights_and_both_means_after_each_step_under_a_changing_lr(adamw_step, rng, points=2):
    """Gradients from 1e-8 to 1e4, some exactly zero, one changing its sign; from rest and from a later step."""
    for shape, lr, betas, eps, decay, done in (((8,), 0.03, (0.95, 0.6), 1e-8, 0.3, 0), ((3, 4), 0.05, (0.7, 0.93), 1e-3, 0.6, 0), ((9,), 0.1, (0.8, 0.9), 0.05, 0.1, 3)):
        side, scale = rng.choice([-1.0, 1.0], size=shape), np.zeros(shape)
        scale.flat[:-1] = rng.permutation(10.0 ** np.linspace(-8, 4, scale.size - 1))
        w = side * rng.uniform(3.0, 5.0, size=shape)
        m = -side * scale * rng.uniform(0.5, 1.0, size=shape) * (done > 0)
        v = scale**2 * rng.uniform(1.0, 2.0, size=shape) * (done > 0)
        m.flat[0] = v.flat[0] = 0.0
        for step in range(12):
            g = -side * scale * rng.uniform(0.3, 3.0, size=shape)
            g[rng.uniform(size=shape) < 0.15] = 0.0
            g.flat[0] = 1e-4 * (-4.0) ** step
            lr = lr / 8 if step == 6 else lr * 0.95
            new = adamw_step(w, g, m, v, done + step + 1, lr=lr, betas=betas, eps=eps, weight_decay=decay)
            yield new, w, g, m, v
            w, m, v = new
    for t, lr, betas, eps, decay in ((7, 0.1, (0.6, 0.8), 0.5, 0.2), (2, 0.2, (0.9, 0.99), 1e-8, 0.0), (5000, 0.05, (0.9, 0.999), 3.0, 1.0)):
        w, g = rng.uniform(3.0, 5.0, size=5), rng.uniform(-2.0, 2.0, size=5)
        m, v = rng.choice([-1.0, 1.0], size=5) * rng.uniform(20.0, 30.0, size=5), rng.uniform(200.0, 900.0, size=5)
        yield adamw_step(w, g, m, v, t, lr=lr, betas=betas, eps=eps, weight_decay=decay)

def single_numbers_deep_arrays_and_all_defaults(adamw_step, rng, points=1):
    """Weights that are one number, a single entry, or an array with three axes; everything optional left out."""
    for kind in np.float64, np.array:
        w, m, v = kind(rng.uniform(1.0, 2.0)), kind(0.0), kind(0.0)
        for t in 1, 2, 3:
            w, m, v = adamw_step(w, kind(-rng.uniform(0.1, 5.0)), m, v, t)
            yield w, m, v
    for shape in (1,), (1, 1), (2, 3, 4):
        g, m, v = -rng.uniform(0.1, 5.0, size=shape), -rng.uniform(1.0, 2.0, size=shape), rng.uniform(1.0, 2.0, size=shape)
        yield adamw_step(rng.uniform(1.0, 2.0, size=shape), g, m, v, 3)

# %% [markdown]
# ## Predict, then run
#
# Three weights start at 1 and should go to 0. Their losses $\frac12 c\,w^2$ have curvatures $c$ of 0.01, 1 and 100, so their gradients differ by a factor of ten thousand. **Write down first:** with plain gradient descent at $\eta = 0.01$, which of the three arrives, and when? With Adam, in which order do they arrive?

# %%
c = np.array([0.01, 1.0, 100.0])
plain, w, m, v = np.ones(3), np.ones(3), np.zeros(3), np.zeros(3)
walk = [[*plain, *w]]
for t in range(1, 121):
    plain = plain - 0.01 * c * plain
    w, m, v = adam_step(w, c * w, m, v, t, lr=0.02)
    walk.append([*plain, *w])
plt.plot(walk, label=[f"{name}, curvature {x:g}" for name in ("plain", "Adam") for x in c])
labels = plt.xlabel("step"), plt.ylabel("weight"), plt.legend()

# %% [markdown] solve="why" points=2
# Leave out the bias correction at the default betas (0.9 and 0.999). **In two sentences:** is the first step then too short or too long, and by what factor; and why does the correction stop mattering after a while?
#
# ### BEGIN SOLUTION
# Too long: uncorrected, m is 0.1 g and the root of v is sqrt(0.001) |g| = 0.0316 |g|, so the first step is 0.1/0.0316 = 3.16 times lr, because v suffers more from its start at zero than m does. The share of that zero in the averages is beta to the power t, which fades, so both corrections tend to 1 (after some tens of steps for m, some thousands for v).
# ### END SOLUTION
