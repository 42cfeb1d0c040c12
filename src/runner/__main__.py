"""`python -m milepost.runner`."""

from milepost.common.ending import end_process
from milepost.runner.main import main

if __name__ == "__main__":
    end_process(main())
