"""Control groups: where the daemon has one to itself, each run gets a group of its own below it.

Every process of a run is in its group, however it forked, whatever became of its session, its environment and the
runner, and the kernel ends them all at once (`cgroup.kill`). Without groups a sweep of /proc finds them, which misses
one kind: a process that left its session and cleared its environment, once the runner is dead.

The daemon's group is its own to divide when it is alone in it, as in a unit or a scope (`Delegate=yes`), may write it,
and the kernel is 5.14 or later. A shell's group has the shell in it and is left as it is. No controller is switched on,
so the daemon may stay where it is. Nothing but `cgroup.kill` ends a group: it outlives the daemon with its run.

Whoever carries another mark has left the job (`common.processes`), so it is moved out before the group is killed.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from milepost.common import processes
from milepost.common.edges import edge

#: Beside the groups of the runs: what jobs started and let go.
RELEASED = "released"
_PROCESSES = "cgroup.procs"
_KILL = "cgroup.kill"
_PAUSE = 0.005


def group_of_this_process() -> Path | None:
    """Its folder; None without version 2, or when it lies outside what is mounted here."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    own = next((Path(line[3:]) for line in groups if line.startswith("0::")), None)
    if own is None or ".." in own.parts:
        return None
    for fields in (line.split() for line in mounts if " - cgroup2 " in line):
        root, place = Path(fields[3]), Path(fields[4])
        if own.is_relative_to(root):
            return place / own.relative_to(root)
    return None


def own_group() -> Path | None:
    """The folder of this process's group, when it can be divided; else None."""
    folder = group_of_this_process()
    if folder is None or not (folder / _KILL).exists():
        return None
    if not all(os.access(place, os.W_OK) for place in (folder, folder / _PROCESSES)):
        return None
    return folder if _processes_in(folder) == [os.getpid()] else None


def enclose(group: Path, pid: int) -> None:
    """Makes the group and puts the process into it, with all that it will start. Raises OSError."""
    group.mkdir(exist_ok=True)
    _move(pid, group)


@edge("cgroups.kill_group")
def kill_group(group: Path, mark: str, timeout: float) -> bool:
    """Ends everything in the group; whoever carries another mark than this is moved out of it.

    True when nobody is left in it within `timeout` seconds; a group that is not there is empty. Raises OSError when it
    cannot be done: then nothing has been killed. Waits, so on an event loop call it through `asyncio.to_thread`.
    """
    if not group.exists():
        return True
    end = time.monotonic() + timeout
    while strangers := processes.strangers(mark, _processes_below(group)):
        if time.monotonic() > end:
            return False
        _release(group, strangers)
    (group / _KILL).write_text("1")
    while is_populated := _is_populated(group):
        if time.monotonic() > end:
            break
        time.sleep(_PAUSE)
    return not is_populated


@edge("cgroups.remove")
def remove(group: Path) -> None:
    """Removes an empty group and what the run made below it. Raises OSError."""
    for folder, _, _ in os.walk(group, topdown=False):
        os.rmdir(folder)  # noqa: PTH106 (os.walk gives texts)


def _release(group: Path, pids: list[int]) -> None:
    released = group.parent / RELEASED
    released.mkdir(exist_ok=True)
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            _move(pid, released)


def _move(pid: int, group: Path) -> None:
    (group / _PROCESSES).write_text(str(pid))


def _processes_in(group: Path) -> list[int]:
    return [int(pid) for pid in (group / _PROCESSES).read_text().split()]


def _processes_below(group: Path) -> list[int]:
    """Of the group and of groups that the run made below it."""
    return [pid for folder, _, _ in os.walk(group) for pid in _processes_in(Path(folder))]


def _is_populated(group: Path) -> bool:
    return "populated 1" in (group / "cgroup.events").read_text()
