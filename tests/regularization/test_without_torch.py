"""In the reader's browser there is no torch: every schedule and NumPy function works without it."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["torch"] = None  # importing it now raises ModuleNotFoundError
import importlib, pkgutil
import numpy as np
import optlib.regularization, optlib.schedules
for package in (optlib.schedules, optlib.regularization):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from optlib.regularization import batchnorm, clipping, dropout, label_smoothing, penalties
from optlib.regularization.early_stopping import EarlyStopping
from optlib.schedules import adapter, cosine, decay, restarts, warmup
import optlib.training

x, one = np.arange(6.0).reshape(3, 2), np.ones(2)
dropout.dropout(x, 0.5, np.random.default_rng(0))
batchnorm.batch_norm(x, one, one, one, one)
batchnorm.batch_norm_backward(x, x, one)
batchnorm.layer_norm(x, one, one)
penalties.l1_penalty(x, 0.1), penalties.l2_penalty(x, 0.1), penalties.soft_threshold(x, 0.1)
label_smoothing.smoothed_cross_entropy(x, np.array([0, 1, 1]))
clipping.clip_by_global_norm([x], 1.0), clipping.clip_by_value(x, 1.0)
EarlyStopping(2).update(1.0, x)
adapter.factor(warmup.warmup(lambda t: restarts.warm_restarts(t, 3, 2, 0.1), 5), 0.1)(7)
decay.noam(0), warmup.one_cycle(3, 10, 0.1), cosine.cosine_annealing(1, 2, 0.1)
try:
    dropout.Dropout(0.5)
except ImportError as error:
    assert "pip install torch" in str(error), error
else:
    raise AssertionError("a layer was made without torch")
"""


def test_all_but_the_layers_work_without_torch():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
