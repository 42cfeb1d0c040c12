"""Which process is which, and how a run's whole tree is ended for certain. Linux only.

A pid alone may meanwhile be another process, so a process is its pid, its start time and the boot it belongs to, and it
is signalled through a pidfd whose start time was checked after opening.

What belongs to a run is found in four ways, because each alone misses somebody:

- the descendants of the runner. The runner is a subreaper, so as long as it lives every orphan below it, however often
  forked and in whichever session, becomes its child: nobody who is alive can leave its tree;
- the session and the process group of the runner, which survive it;
- the mark `MILEPOST_RUN=<mark>` in the environment a process was started with, which survives session and parent;
- and not: who carries *another* mark, the empty one too. A daemon that was started from inside a job is started with
  `MILEPOST_RUN=`; it and everything below it are somebody else's.

A process that cleared its environment and left the session is held by nothing but its chain of parents up to the
runner. Hence the order: the rest of the tree first, round after round until a scan finds nothing, the runner last. What
a killed process forked a moment before it died is the runner's child by the next scan. Only when the runner goes on
starting processes until half the time is over is it killed before its tree is seen empty. Below the runner parents are
killed before their children: a shell script must not see its command die and go on with the next one.

The functions read all of /proc and wait: on an event loop, call them through `asyncio.to_thread`.
"""

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from milepost.common.edges import edge

MARK_VARIABLE = "MILEPOST_RUN"

_PR_SET_CHILD_SUBREAPER = 36
_READ_SIZE = 64 * 1024
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


@dataclass(frozen=True)
class ProcessIdentity:
    """`start_ticks` is field 22 of /proc/PID/stat: clock ticks after the boot named by `boot_id`."""

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True)
class ProcessStatus:
    """What /proc/PID/stat tells. `state` is one letter (R, S, D, T, Z, …)."""

    identity: ProcessIdentity
    command: str
    state: str
    parent: int
    group: int
    session: int
    threads: int
    rss_pages: int

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def is_dead(self) -> bool:
        """A zombie is dead, unless only its first thread has ended."""
        return self.state in "ZX" and self.threads <= 1


@cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def status(pid: int) -> ProcessStatus | None:
    """None when there is no such process."""
    try:
        text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command is in parentheses and may itself hold spaces and parentheses.
    command, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return ProcessStatus(
        identity=ProcessIdentity(pid, int(fields[19]), boot_id()),
        command=command,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        threads=int(fields[17]),
        rss_pages=int(fields[21]),
    )


def identify(pid: int) -> ProcessIdentity | None:
    """None when there is no such process. A zombie still has its identity."""
    found = status(pid)
    return found.identity if found else None


def is_alive(identity: ProcessIdentity) -> bool:
    found = status(identity.pid)
    return found is not None and found.identity == identity and not found.is_dead


def ending_words(code: int) -> str:
    """How a process ended, by its exit code as subprocess has it: negative for a signal."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def all_processes() -> dict[int, ProcessStatus]:
    """Every process of the machine by pid, zombies included."""
    pids = (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
    return {pid: found for pid in pids if (found := status(pid))}


def descendants(pid: int) -> list[ProcessStatus]:
    """All below this process, parents before their children, zombies included."""
    return list(_below(pid, all_processes(), frozenset()))


def marked(mark: str) -> list[ProcessIdentity]:
    """Processes that were started with `MILEPOST_RUN=<mark>` in their environment."""
    return [process.identity for process in all_processes().values() if _mark_of(process.pid) == mark]


def strangers(mark: str, pids: Iterable[int]) -> list[int]:
    """Those of them that belong to another mark, by their own or by that of the nearest one above them that has any."""
    among = set(pids)
    processes = {pid: process for pid, process in all_processes().items() if pid in among}
    marks = {pid: _mark_of(pid) for pid in processes}

    def mark_above(pid: int) -> str | None:
        for _ in processes:
            if pid not in processes or marks[pid] is not None:
                break
            pid = processes[pid].parent
        return marks.get(pid)

    return [pid for pid in processes if mark_above(pid) not in (None, mark)]


def keep_ended_children() -> None:
    """They stay zombies until they are waited for: who inherits an ignored SIGCHLD never learns how a child ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def become_subreaper() -> None:
    """Orphans below this process become its children. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


@edge("processes.send_signal")
def send_signal(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """False when that very process is gone. Raises PermissionError when it is another user's."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if identify(identity.pid) != identity:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def kill_tree(mark: str, leader: ProcessIdentity | None, timeout: float) -> list[ProcessIdentity]:
    """Ends every process of a run at once, the caller excepted, and returns those still alive after `timeout` seconds.

    The result is empty when two consecutive scans found nobody. The leader is the runner; it may be dead, or None when
    it was never known.
    """
    return _kill_all(lambda: _members(mark, leader), leader, timeout)


def kill_family(mark: str, leader: ProcessIdentity, timeout: float) -> list[ProcessIdentity]:
    """Ends one process of a run with all below it, as `kill_tree` does. `mark` is that of the run.

    For a worker or a command: no subreaper, so it goes first, and whoever was seen below it once stays in the family.
    """
    family = {leader: None}

    def scan() -> list[ProcessIdentity]:
        processes = all_processes()
        strangers = _strangers(mark, {pid: _mark_of(pid) for pid in processes})
        for member in list(family):
            family.update(dict.fromkeys(process.identity for process in _tree(member, processes, strangers)))
        return [member for member in family if is_alive(member) and member.pid != os.getpid()]

    return _kill_all(scan, None, timeout)


def _kill_all(
    scan: Callable[[], list[ProcessIdentity]], last: ProcessIdentity | None, timeout: float
) -> list[ProcessIdentity]:
    begun = time.monotonic()
    pause, empty_scans = _FIRST_PAUSE, 0
    while True:
        members = scan()
        empty_scans = 0 if members else empty_scans + 1
        waited = time.monotonic() - begun
        if empty_scans == 2 or waited > timeout:
            return members
        others = [member for member in members if member != last]
        for member in others if others and waited < timeout / 2 else members:
            _kill(member)
        if members:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _kill(identity: ProcessIdentity) -> None:
    try:
        send_signal(identity, signal.SIGKILL)
    except PermissionError:
        return  # it stays in the scans, so the caller hears of it


def _members(mark: str, leader: ProcessIdentity | None) -> list[ProcessIdentity]:
    """Who belongs to the run and is alive, without the caller: the leader first, parents before their children."""
    processes = all_processes()
    marks = {pid: _mark_of(pid) for pid in processes}
    strangers = (
        frozenset(pid for pid, found in marks.items() if found is not None and found != mark) if mark else frozenset()
    )
    found: dict[int, ProcessStatus] = {}
    if leader is not None:
        found |= {process.pid: process for process in _tree(leader, processes, strangers)}
    found |= {pid: processes[pid] for pid, value in marks.items() if value == mark}
    found.pop(os.getpid(), None)
    return [process.identity for process in found.values() if not process.is_dead]


def _strangers(mark: str, marks: Mapping[int, str | None]) -> frozenset[int]:
    return frozenset(pid for pid, value in marks.items() if value not in (None, mark))


def _tree(
    leader: ProcessIdentity, processes: dict[int, ProcessStatus], strangers: frozenset[int]
) -> Iterator[ProcessStatus]:
    """The leader, its descendants, its session and its group."""
    process = processes.get(leader.pid)
    if leader.boot_id != boot_id() or (process is not None and process.identity != leader):
        return  # the number has been given away, so nothing of the old tree can bear it any more
    if process is not None:
        yield process
        yield from _below(leader.pid, processes, strangers)
    for other in processes.values():
        is_led = leader.pid in (other.session, other.group) and other.identity.start_ticks >= leader.start_ticks
        if is_led and other.pid != leader.pid and other.pid not in strangers:
            yield other


def _below(pid: int, processes: dict[int, ProcessStatus], strangers: frozenset[int]) -> Iterator[ProcessStatus]:
    children: dict[int, list[ProcessStatus]] = defaultdict(list)
    for process in processes.values():
        children[process.parent].append(process)
    pending: list[Iterable[ProcessStatus]] = [children[pid]]
    while pending:
        for process in pending.pop(0):
            if process.pid not in strangers:
                yield process
                pending.append(children[process.pid])


def _mark_of(pid: int) -> str | None:
    """The value of MILEPOST_RUN that the process was started with; None when it has none or is another user's."""
    try:
        environment = _read(f"/proc/{pid}/environ")
    except OSError:
        return None
    prefix = f"{MARK_VARIABLE}=".encode()
    for variable in environment.split(b"\0"):
        if variable.startswith(prefix):
            return variable[len(prefix) :].decode(errors="replace")
    return None


def _read(path: str) -> bytes:
    """All of a file. A fifth of what pathlib takes, and a sweep reads two files for each process of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, _READ_SIZE):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)
