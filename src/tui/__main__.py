"""`python -m milepost.tui`: the same as `milepost tui`."""

import os

from milepost.common.settings import load_settings
from milepost.tui.app import run

if __name__ == "__main__":
    run(load_settings({}, os.environ), os.environ)
