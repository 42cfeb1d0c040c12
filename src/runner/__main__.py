"""`python -m milepost.runner`."""

import sys

from milepost.runner.main import main

if __name__ == "__main__":
    sys.exit(main())
