"""Since when time has been seen to pass, so that nobody is blamed for what a sleeping machine left undone (E13).

CLOCK_MONOTONIC stands still while the machine sleeps, CLOCK_BOOTTIME goes on. Looked at regularly, they tell that the
machine slept, and that the one who looks was kept from it: then what was said meanwhile has not been heard yet. In both
cases ages start afresh.
"""

from typing import NamedTuple

#: Seconds by which the clocks may part between two looks: they are not read in the same instant.
_APART = 0.5
#: Seconds between two looks after which the one who looks has been away.
_AWAY = 10.0


class Clocks(NamedTuple):
    """One look at the clocks, in seconds."""

    monotonic: float
    boottime: float


class Awake(NamedTuple):
    """`since`: on the monotonic clock, when time began to pass without a gap; `last`: the latest look."""

    since: float
    last: Clocks

    def looked(self, now: Clocks) -> "Awake":
        """After another look."""
        away = now.monotonic - self.last.monotonic
        slept = now.boottime - self.last.boottime - away
        return Awake(now.monotonic if slept > _APART or away > _AWAY else self.since, now)

    def bounded(self, seconds: float, now: float) -> float:
        """How much of an age counts at `now` (monotonic): none of what was before the gap."""
        return max(0.0, min(seconds, now - self.since))
