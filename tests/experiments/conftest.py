"""`import experiments` works under a plain `pytest` too, which does not look where it stands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
