# %% [markdown]
# # Cosine annealing
#
# A large learning rate gets you to the valley quickly and then will not let you settle there; a small one settles, but takes for ever to arrive. So begin large and end small, and let half a wave of the cosine lead from one to the other: it leaves the top gently, falls fastest in the middle, and lands gently.
#
# $$\eta_t = \eta_{min} + \frac{1}{2}(\eta_{max} - \eta_{min})\left(1 + \cos\left(\frac{t\pi}{T}\right)\right)$$
#
# Here $t$ counts the steps that have been done, so it is 0 for the first step, and $T$ is where the descent ends. The formula is meant for $0 \le t \le T$. What it would do beyond $T$ you should find out before you write the code: in this book the rate stays at $\eta_{min}$ from there on. About 15 minutes. The chapter is `book/schedules/cosine.md`.

# %%
import matplotlib.pyplot as plt
import numpy as np

# %% solve="cosine_annealing"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    """The learning rate after t steps of cosine annealing.

    t       the steps done so far, one number, whole or not, 0 or more
    T       where the rate arrives at lr_min, a positive number of steps
    lr_max  the rate at t = 0
    lr_min  the rate at t = T, and for every t beyond it

    Returns one number. The answer depends on the arguments alone: t may be asked in any
    order, and as often as one likes.
    """
    ### BEGIN SOLUTION
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T)) / 2
    ### END SOLUTION

# %% wrong="cosine_annealing" id="rises_again_after_T" because="Beyond T your rate climbs again: the cosine goes on swinging. The formula ends at T; what should the rate do from there on?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="starts_over_after_T" because="You take t modulo T, so the rate jumps back to lr_max at T. Warm restarts do that; here the descent happens once."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    t = t % T
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="zero_after_T" because="Beyond T your rate is zero. It should stay where the descent ended, and that is lr_min."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t > T:
        return 0.0
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="lands_a_step_early" because="Your rate drops to lr_min one step before T. At T - 1 the curve is still on its way."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T - 1:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="half_forgotten" because="One plus a cosine runs from 2 down to 0, and you left it so: your schedule starts at twice lr_max. What halves it?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T))

# %% wrong="cosine_annealing" id="lr_min_forgotten" because="Your curve runs down to zero and ignores lr_min, until it jumps to it at T. The cosine should lead from lr_max to lr_min."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_max * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="lr_min_on_top" because="You put lr_min on top of a curve of full height, so the schedule starts above lr_max. How high should the curve be if it stands on lr_min?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + lr_max * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="lr_min_as_a_floor" because="You let the curve run down to zero and cut it off at lr_min. Then it arrives long before T; the whole curve should be squeezed between lr_min and lr_max."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return max(lr_min, lr_max * (1 + np.cos(np.pi * t / T)) / 2)

# %% wrong="cosine_annealing" id="upside_down" because="Your rate begins at lr_min and climbs: the curve is upside down. What is the cosine of 0?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 - np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="brackets_missing" because="Your rate adds the bare cosine to something that does not move. A pair of brackets is missing: what does one half of the difference multiply?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) / 2 * 1 + np.cos(np.pi * t / T)

# %% wrong="cosine_annealing" id="only_the_factor" because="You return the factor between 1 and 0, and no learning rate: lr_max and lr_min never come in."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return 0.0
    return (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="whole_wave" because="Your rate is at lr_min already at T/2 and climbs back to lr_max at T: that is a whole wave. Half a wave goes down once."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(2 * np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="quarter_wave" because="You use the cosine from 0 to a right angle, a quarter wave. It starts gently but lands steeply; one plus a cosine, over half a wave, does both gently."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * np.cos(np.pi * t / (2 * T))

# %% wrong="cosine_annealing" id="pi_forgotten" because="Your cosine gets t/T, an angle between 0 and 1, so the rate hardly falls and then drops from a cliff at T. Which angle is half a turn?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(t / T)) / 2

# %% wrong="cosine_annealing" id="degrees" because="You give the cosine degrees, but it takes radians: 180 degrees are pi."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(180 * t / T)) / 2

# %% wrong="cosine_annealing" id="sine" because="You took the sine where the formula has the cosine: your rate starts in the middle, rises, and comes back."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.sin(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="one_step_ahead" because="Your schedule is one step ahead: it puts t + 1 into the formula. t counts the steps already done, so the very first step has t = 0 and the full lr_max."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * (t + 1) / T)) / 2

# %% wrong="cosine_annealing" id="one_step_behind" because="Your curve is stretched over T + 1 steps, so at T it has not quite arrived. How many steps lie between t = 0 and t = T?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / (T + 1))) / 2

# %% wrong="cosine_annealing" id="one_step_too_short" because="Your curve is squeezed into T - 1 steps, so it arrives a step too early. Counting t from 0 to T makes T steps, not T - 1."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / max(T - 1, 1))) / 2

# %% wrong="cosine_annealing" id="whole_steps_only" because="You round t down to a whole number. t may be 2.5: in the middle of an epoch, say. The formula does not mind."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * int(t) / T)) / 2

# %% wrong="cosine_annealing" id="whole_division" because="You divide with `//`, which throws the fraction away: t//T is 0 all the way to T, so the rate never moves."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * (t // T))) / 2

# %% wrong="cosine_annealing" id="straight_line" because="Your rate falls in a straight line. That is a schedule too, but not this one: where is the cosine?"
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_max - lr_min) * (1 - t / T)

# %% wrong="cosine_annealing" id="rates_swapped" because="You mixed up the two rates in the difference: lr_min minus lr_max is negative, so the curve hangs below lr_min."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_min + (lr_min - lr_max) * (1 + np.cos(np.pi * t / T)) / 2

# %% wrong="cosine_annealing" id="shrinks_by_products" because="You raise the ratio of the two rates to a power, so the curve falls by equal factors. That is exponential decay in disguise; the cosine mixes the rates by sums."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return lr_min
    return lr_max * (lr_min / lr_max) ** (t / T)

# %% wrong="cosine_annealing" id="single_precision" because="Your answer is the right one rounded to float32: only about seven digits are kept."
def cosine_annealing(t, T, lr_max, lr_min=0.0):
    if t >= T:
        return np.float32(lr_min)
    return np.float32(lr_min + (lr_max - lr_min) * (1 + np.cos(np.pi * t / T)) / 2)

# %% picture="cosine_annealing" xlabel="steps done" ylabel="learning rate"
x = np.arange(0.0, 30.25, 0.25)
y = [cosine_annealing(t, T=20, lr_max=0.8, lr_min=0.2) for t in x]

# %% check="cosine_annealing_starts_at_lr_max_and_lands_on_lr_min"
start, half, end = (cosine_annealing(t, T=10, lr_max=0.5, lr_min=0.1) for t in (0, 5, 10))
assert np.isclose(start, 0.5), f"at t = 0 the cosine is 1 and the rate is lr_max = 0.5; yours: {start}"
assert np.isclose(half, 0.3), f"half-way the cosine is 0 and the rate is the mean of 0.5 and 0.1, 0.3; yours: {half}"
assert np.isclose(end, 0.1), f"at t = T the cosine is -1 and the rate is lr_min = 0.1; yours: {end}"

# %% check="cosine_annealing_is_no_straight_line"
third = cosine_annealing(2, T=6, lr_max=0.8)
assert np.isclose(third, 0.6), f"after a third of the way the cosine of 60 degrees is 1/2, so the rate is 0.8 * 3/4 = 0.6; yours: {third}"

# %% check="cosine_annealing_stays_down_after_T"
rates = [cosine_annealing(t, T=10, lr_max=0.5, lr_min=0.1) for t in (11, 15, 20)]
assert np.allclose(rates, 0.1), f"the descent is over at T = 10, so the rate stays at lr_min = 0.1; yours at 11, 15, 20: {rates}"

# %% probe="cosine_annealing_hidden" points=4
def the_rate_at_whole_and_broken_steps_before_and_after_T(cosine_annealing, rng, points=2, atol=1e-13):
    """Asked out of order and twice; several lengths; lr_min well above zero, and zero."""
    for T, share in (10, 0.1), (37, 0.3), (250, 0.02), (64, 0.0):
        lr_max = rng.uniform(0.5, 1.5)
        lr_min = share * lr_max
        steps = [0, 1, 2, T // 4, T // 3, T // 2, T - 2, T - 1, T, T + 1, T + 3, 2 * T - 1, 2 * T, 3 * T, 7 * T + 2]
        steps += [float(s) for s in rng.uniform(0.0, T, size=6)] + [T - 0.5, T + 0.25, 1.5 * T, 0.5, float(T), 0.0]
        for place in [*rng.permutation(len(steps)), *range(len(steps))]:
            yield cosine_annealing(steps[place], T, lr_max, lr_min)

def rates_of_a_millionth_and_very_long_schedules(cosine_annealing, rng, points=1, atol=1e-19):
    """Small rates are rates too; a million steps, and a step far beyond."""
    for T, share in (1000, 0.0), (10**6, 0.001), (50, 0.5):
        lr_max = 1e-6 * rng.uniform(1.0, 1.5)
        for t in 0, 1, 7.5, T // 3, T // 2, 0.9 * T, T - 1, T, T + 1, 10**9:
            yield cosine_annealing(t, T, lr_max=lr_max, lr_min=share * lr_max)

def one_step_equal_rates_and_lr_min_left_out(cosine_annealing, rng, points=1, atol=1e-13):
    """The edges: T of 1, lr_min equal to lr_max, the default lr_min, a rate above 1."""
    lr = rng.uniform(0.5, 1.5)
    for t in 0, 1, 0.25, 0.5, 2, 1.75:
        yield cosine_annealing(t, 1, lr, 0.2 * lr)
        yield cosine_annealing(t, 4, lr, lr)
        yield cosine_annealing(t, 3, lr), cosine_annealing(t, 2, 5.0 * lr)

# %% [markdown]
# ## Predict, then run
#
# A thousand weights start at 3 and should go to 0, but every gradient carries noise as large as 1. Below they walk 300 steps at a large constant rate, at a small constant rate, and from the large rate down to zero along the cosine. **Write down first:** which curve falls fastest at the beginning, which ends lowest, and which one stops falling long before the end?

# %%
rng, T = np.random.default_rng(0), 300
rates = {"constant 0.3": lambda t: 0.3, "constant 0.01": lambda t: 0.01, "cosine from 0.3": lambda t: cosine_annealing(t, T, 0.3)}
for name, rate in rates.items():
    w, losses = np.full(1000, 3.0), []
    for t in range(T):
        w = w - rate(t) * (w + rng.normal(size=1000))     # the gradient of w*w/2, and noise
        losses.append(np.mean(w**2) / 2)
    plt.semilogy(losses, label=name)
labels = plt.xlabel("step"), plt.ylabel("mean loss"), plt.legend()

# %% [markdown] solve="why" points=2
# **In two sentences:** why can a constant learning rate not bring the loss below a certain height when the gradients are noisy; and why not simply use a tiny rate from the first step on?
#
# ### BEGIN SOLUTION
# Every step adds fresh noise of size lr to the weights while the slope pulls them back by a share lr, and the two balance at a loss proportional to lr, so only a smaller rate gets lower. A tiny rate would reach that low level, but its steps are so short that the way from the start takes about 1/lr steps; the cosine travels with the large rate and settles with the small one.
# ### END SOLUTION
