"""Why large batches test worse: fewer updates, an untuned rate, or the batch itself (C01, C46-C48).

Digits (momentum) and the next letter of a text (Adam), batches from a 64th or less of the training
set to all or an eighth of it. Each is compared with the smallest batch four times: at its rate and
as many epochs; at a rate of its own and as many epochs; at a rate of its own and as many updates;
and with rate and length both of its own, the length at most as many updates. Train beside test.
Rates and lengths are tuned on validation loss. All rates are constant: the noise of small batches
stays, which a decay would remove. The seeds draw starts and batches, and the splits of the digits,
never another text. Small models whose minima nobody looked at: it shows how much of the gap tuning
closes here, not that no gap could remain elsewhere, and nothing about sharpness.
"""

from collections import namedtuple
from dataclasses import replace

import numpy as np
import torch

from experiments.protocol import difference, log_grid, spread
from experiments.side_by_side import DIGITS, descend, digits, evaluate, text, tune_together
from optlib import figures
from optlib.optimizers.adam import Adam
from optlib.optimizers.momentum import Momentum
from optlib.schedules.decay import constant

SEEDS = (10, 30)
TUNING_SEEDS = (1000, 1001, 1002, 1003, 1004)  # none of the seeds that are reported
LETTERS = 4096  # of the text, to train on
BORROWED, *TUNED = COMPARISONS = (
    "equal epochs, the smallest's rate",
    "equal epochs",
    "equal updates",
    "own length",
)
MEASURED = ("train_loss", "test_loss", "loss_gap", "train_error", "test_error", "error_gap")
Setting = namedtuple("Setting", "task examples optimizer sizes epochs grid shown")
Arm = namedtuple("Arm", "lr accepted trials updates")


def few_letters(seeds):
    """The text, with little of it to train on."""
    task = text(seeds)
    return replace(task, train=tuple(z[:, :LETTERS] for z in task.train))


SETTINGS = {
    "digits": Setting(
        digits, DIGITS, Momentum, (16, 64, 256, 1024), 20, log_grid(0.01, 1.28, 8), "error"
    ),
    "text": Setting(
        few_letters, LETTERS, Adam, (16, 64, 512), 4, log_grid(0.00025, 0.032, 8), "loss"
    ),
}
PARTS = tuple(SETTINGS)


def run(seeds, full=False, part=None):
    return [row for name in ([part] if part else PARTS) for row in gaps(name, seeds)]


def picture(rows):
    """What larger batches get wrong (of the text: lose) on test data, over the smallest's."""
    groups = {}
    for row in rows:
        setting = SETTINGS[row["task"]]
        if row["batch_size"] == setting.sizes[0]:
            smallest = row[f"test_{setting.shown}"]["mean"]
            continue
        above = row[f"test_{setting.shown}_above_smallest"]
        name = "borrowed rate" if row["comparison"] == BORROWED else row["comparison"]
        groups.setdefault(name, {})[f"{row['task']}, {row['batch_size']}"] = [
            (smallest + above[end]) / smallest for end in ("low", "mean", "high")
        ]
    return figures.ranges(groups, xlabel="test error (text: loss), over the smallest's", level=1)


def gaps(name, seeds):
    """A row for every comparison and batch size."""
    setting = SETTINGS[name]
    arms = tuned_arms(setting)
    found = {size: outcomes(setting, size, arms, seeds) for size in setting.sizes}
    for how in COMPARISONS:
        for size in setting.sizes:
            arm = arms[how, size]
            row = {"task": name, "comparison": how, "batch_size": size, **arm._asdict()}
            row["epochs"] = arm.updates * size / setting.examples
            for what in MEASURED:
                here, smallest = (found[s][how][what] for s in (size, setting.sizes[0]))
                row |= {what: spread(here), f"{what}_above_smallest": difference(here, smallest)}
            yield row


def lengths(setting, size):
    """How many updates each comparison allows a batch size; of several, validation picks one."""
    smallest, largest = setting.sizes[0], setting.sizes[-1]
    most = setting.epochs * setting.examples // smallest
    halved = [most >> k for k in range((largest // smallest).bit_length())]
    return dict(zip(TUNED, ([most * smallest // size], [most], halved)))


def tuned_arms(setting):
    """(comparison, batch size) -> its rate and its length, all tuned with one budget."""
    seen = {}  # the validation loss that a batch size at a rate has come to after t updates

    def scores(trials):
        for size in setting.sizes:
            wanted = {rate for (_, s), rate in trials if s == size and (size, rate) not in seen}
            rates = sorted(wanted)
            marks = lengths(setting, size)["own length"]  # the other lengths are among them
            on_way = course(setting, size, rates, TUNING_SEEDS, marks, ["validation"])
            for i, rate in enumerate(rates):
                seen[size, rate] = {
                    t: np.nan_to_num(of["validation_loss"][i].mean(), nan=np.inf)
                    for t, of in on_way.items()
                }
        return [min(at(*trial).values()) for trial in trials]

    def at(arm, rate):
        how, size = arm
        return {t: seen[size, rate][t] for t in lengths(setting, size)[how]}

    grids = {(how, size): setting.grid for size in setting.sizes for how in TUNED}
    arms = {}
    for arm, found in tune_together(scores, grids).items():
        by_length = at(arm, found.rate)
        updates = min(by_length, key=by_length.get)
        arms[arm] = Arm(found.rate, found.accepted, len(found.trials), updates)
    lent = arms[TUNED[0], setting.sizes[0]]
    for size in setting.sizes:
        arms[BORROWED, size] = lent._replace(updates=arms[TUNED[0], size].updates)
    return arms


def outcomes(setting, size, arms, seeds):
    """Comparison -> what is measured, by seed, of one batch size."""
    of_size = {how: arms[how, size] for how in COMPARISONS}
    ends = {}
    for updates in {arm.updates for arm in of_size.values()}:
        rates = sorted({arm.lr for arm in of_size.values() if arm.updates == updates})
        by_rate = course(setting, size, rates, seeds, [updates], ["train", "test"])[updates]
        for i, lr in enumerate(rates):
            ends[lr, updates] = {what: of[i] for what, of in by_rate.items()}
    found = {}
    for how, arm in of_size.items():
        here = ends[arm.lr, arm.updates]
        gap = {f"{kind}_gap": here[f"test_{kind}"] - here[f"train_{kind}"]
               for kind in ("loss", "error")}  # fmt: skip
        found[how] = here | gap
    return found


def course(setting, size, rates, seeds, marks, parts):
    """Losses and errors after the updates `marks`: updates -> what -> rates by seeds."""
    found = {}
    if not rates:
        return found
    task = setting.task(seeds)
    schedules = [lambda t, lr=lr: constant(t, lr) for lr in rates]
    batches = epochs(task, seeds, size, max(marks))
    for t, weights in enumerate(descend(task, setting.optimizer, seeds, schedules, batches), 1):
        if t not in marks:
            continue
        found[t] = {}
        for part in parts:
            loss, error = evaluate(task, weights, getattr(task, part))
            found[t] |= {f"{part}_loss": loss, f"{part}_error": error}
    return found


def epochs(task, seeds, size, updates):
    """Yield `updates` times the rows of a batch for each seed: every row once in each epoch."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    n = task.train[1].shape[1]
    while True:
        order = torch.stack([torch.randperm(n, generator=rng) for rng in generators])
        for rows in order.split(size, dim=1):
            if not updates:
                return
            yield rows
            updates -= 1
