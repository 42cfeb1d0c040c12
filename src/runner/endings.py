"""Why a worker ended with tasks in flight: by itself, by a signal, because memory ran out."""

import signal
from collections import deque
from pathlib import Path

from milepost.common.processes import ending_words
from milepost.core.retry import LOST_WORKER
from milepost.v1 import runner_service_pb2 as pb

_VMSTAT = Path("/proc/vmstat")
#: Looks, one a second, in which a kill counts: a process of many gigabytes takes seconds to be gone.
RECENT_LOOKS = 10
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class MemoryKills:
    """Notices when the kernel kills a process because memory ran out, on the machine or in a control group.

    The kernel counts these for the whole machine, so what counts is only a step of the counter over the last looks:
    then a worker that was killed by SIGKILL was very likely meant.
    """

    def __init__(self, counter: Path = _VMSTAT) -> None:
        self._counter = counter
        self._looks = deque([_killed(counter)], maxlen=RECENT_LOOKS)

    def look(self) -> None:
        """To be called each second."""
        self._looks.append(_killed(self._counter))

    @property
    def happened(self) -> bool:
        """Whether there was one since the oldest of the last looks."""
        return _killed(self._counter) > self._looks[0]


def _killed(counter: Path) -> int:
    """0 where the kernel does not count (before 4.13)."""
    try:
        lines = counter.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def lost_worker(pid: int, code: int, tasks: int, offence: str, memory_ran_out: bool) -> pb.TaskFailure:
    """What is told of each task that was in flight in a worker which ended.

    `tasks`: how many those were; `offence`: why the runner had to kill it, if so.
    """
    if offence:
        return pb.TaskFailure(
            error_class=LOST_WORKER,
            rule="protocol",
            message=f"Its worker (process {pid}) {offence}; it was killed.",
            remedy="See the log. If the pipeline has no worker of its own, that is a mistake of Milepost.",
        )
    message = f"Its worker (process {pid}) {ending_words(code)}"
    if tasks > 1:
        message += f" with {tasks} tasks in flight"
    rule, remedy = f"exit {code}", "Something in it ends the process (os._exit, sys.exit in native code): see the log."
    if code < 0:
        rule, remedy = f"signal {-code}", "See the log for what it did last."
    if code == -signal.SIGKILL and memory_ran_out:
        rule = "out of memory"
        message += ": memory ran out, and the kernel ended it"
        remedy = "Give it more memory, or let fewer tasks run at once (concurrency, workers), then retry the item."
    elif code == -signal.SIGKILL:
        message += ", from outside or by what it executed: memory had not run out"
    elif -code in _CRASHES:
        remedy = f"A crash in native code: the log has its stack (milepost logs, from process {pid})."
    return pb.TaskFailure(error_class=LOST_WORKER, rule=rule, message=f"{message}.", remedy=remedy)
