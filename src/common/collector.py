"""How often this process looks for garbage in cycles."""

import gc


def prepare_collector() -> None:
    """To be called when everything is imported.

    Thousands of tasks on their way look like garbage to be to a collector that wakes at every 700 objects, and most of
    what it goes through is code that stays: that took an eighth of the time of the daemon and of a runner.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
