"""A control group for a daemon of a test's own, as a unit with `Delegate=yes` has one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from milepost.daemon.cgroups import group_of_this_process, kill_group, remove


@contextmanager
def delegated_cgroup() -> Iterator[Path | None]:
    """None where this machine lets us make none."""
    parent = group_of_this_process()
    if parent is None or not os.access(parent, os.W_OK):
        yield None
        return
    group = Path(tempfile.mkdtemp(prefix="milepost-test-", dir=parent))
    try:
        yield group
    finally:
        kill_group(group, "", 10)
        remove(group)
