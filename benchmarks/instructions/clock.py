"""A clock that goes on by a little with every look at it, so that two runs see the same times however busy the machine is.

Imported before anything that takes its clock from `time`.
"""

from __future__ import annotations

import itertools
import time

LOOK_S = 1e-5  # a request looks some four times and takes about as long on a busy worker

time.monotonic = itertools.count(1000.0, LOOK_S).__next__
time.time = itertools.count(1_790_000_000.0, LOOK_S).__next__
