"""How a process of Milepost ends."""

import contextlib
import logging
import os
import sys
from typing import NoReturn


def end_process(status: int) -> NoReturn:
    """Ends this process at once, with everything written that it has said.

    To be called when all that was opened is closed: to take an interpreter apart that has gRPC in it costs a verb a
    fifth of its time, and changes nothing any more.
    """
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(BrokenPipeError):  # whoever read it has enough
            stream.flush()
    os._exit(status)
