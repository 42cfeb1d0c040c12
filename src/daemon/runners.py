"""Runner processes: start one, know whether it lives, end its tree, read what it left behind."""

import asyncio
import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from milepost.common import processes
from milepost.common.edges import edge
from milepost.common.processes import ProcessIdentity
from milepost.common.spool import Spool, discard_unfinished, read_spool, spool_path
from milepost.core.model import Reason, Run
from milepost.daemon import cgroups

#: How long the end of a tree may take before it is reported and tried again, in seconds.
KILL_TIMEOUT = 5.0
_MISTAKE_LIMIT = 64 * 1024

logger = logging.getLogger(__name__)


def new_token() -> str:
    return secrets.token_urlsafe(32)


def new_mark() -> str:
    return secrets.token_hex(8)


@dataclass
class Runners:
    """The runner processes of this machine. `on_end()` is called on the loop when one of them ends.

    `group`: the daemon's control group, below which each run gets its own; None: there is none to divide.
    `users_umask`: what jobs create has the modes that its owner is used to; what is ours stays private.
    """

    state_folder: Path
    socket: str
    on_end: Callable[[], None]
    group: Path | None = None
    users_umask: int = 0o077
    _children: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _watched: dict[ProcessIdentity, int] = field(default_factory=dict)
    _codes: dict[ProcessIdentity, int] = field(default_factory=dict)

    @edge("runners.start")
    def start(self, run: Run, token: str) -> ProcessIdentity:
        """Starts the runner of a run. Raises OSError.

        The token goes through an inherited pipe, so that it is in no argument list and no environment.
        """
        folder = self.state_folder / "jobs" / run.job_id
        logs = folder / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        log = os.open(logs / f"run-{run.number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        reading, writing = os.pipe()
        try:
            os.write(writing, token.encode())
            child = subprocess.Popen(
                self._command(run, folder, reading),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(reading,),
                start_new_session=True,
                umask=self.users_umask,
                env={**os.environ, processes.MARK_VARIABLE: run.mark},
            )
        finally:
            for descriptor in (log, reading, writing):
                os.close(descriptor)
        self._children[child.pid] = child
        self._enclose(run, child.pid)
        identity = processes.identify(child.pid)
        assert identity is not None  # our child stands in /proc until it is reaped
        self.watch(identity)
        return identity

    def cgroup(self, mark: str) -> str | None:
        """The folder of the control group that a run with this mark is to have."""
        return None if self.group is None else str(self.group / f"run-{mark}")

    def _enclose(self, run: Run, pid: int) -> None:
        """The runner starts nothing before it is welcomed, which is later: the whole tree will be in the group."""
        if run.cgroup is None:
            return
        try:
            cgroups.enclose(Path(run.cgroup), pid)
        except OSError as error:
            logger.warning("run %d of %s will be ended by a sweep, without a group: %s", run.number, run.job_id, error)

    def _command(self, run: Run, folder: Path, token_descriptor: int) -> list[str]:
        return [
            *(sys.executable, "-m", "milepost.runner"),
            *("--socket", self.socket),
            *("--job", run.job_id),
            *("--run", str(run.number)),
            *("--folder", str(folder)),
            *("--token-fd", str(token_descriptor)),
        ]

    def watch(self, identity: ProcessIdentity) -> None:
        """Calls `on_end` when this process ends; it need not be a child of ours."""
        if identity in self._watched:
            return
        try:
            descriptor = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            self.on_end()
            return
        self._watched[identity] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, identity)

    def _ended(self, identity: ProcessIdentity) -> None:
        descriptor = self._watched.pop(identity)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._reap(identity)
        self.on_end()

    @edge("runners.reap")
    def _reap(self, identity: ProcessIdentity) -> None:
        child = self._children.pop(identity.pid, None)
        if child is not None:
            self._codes[identity] = child.wait()

    def how_ended(self, identity: ProcessIdentity | None) -> str:
        """As "was killed by SIGKILL"; empty when it was not a child of this daemon. Known until it is asked."""
        code = None if identity is None else self._codes.pop(identity, None)
        return "" if code is None else processes.ending_words(code)

    def forget(self) -> None:
        """The daemon ends; the runners go on."""
        for identity in list(self._watched):
            descriptor = self._watched.pop(identity)
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        for child in self._children.values():
            child.returncode = 0  # keeps Popen from warning that it still runs: that is the point of it
        self._children.clear()


def identity_of(run: Run) -> ProcessIdentity | None:
    """The process that was recorded for this run, if any was."""
    if run.pid is None or run.process_start_ticks is None or run.boot_id is None:
        return None
    return ProcessIdentity(run.pid, run.process_start_ticks, run.boot_id)


def is_alive(run: Run) -> bool:
    identity = identity_of(run)
    return identity is not None and identity.boot_id == processes.boot_id() and processes.is_alive(identity)


@edge("runners.end_tree")
async def end_tree(run: Run) -> bool:
    """Kills every process of the run; True when none is left."""
    group = None if run.cgroup is None else Path(run.cgroup)
    is_empty = group is None or await asyncio.to_thread(_kill_group, group, run)
    left = await asyncio.to_thread(processes.kill_tree, run.mark, identity_of(run), KILL_TIMEOUT)
    if left or not is_empty:
        pids = ", ".join(str(identity.pid) for identity in left) or f"those of {group}"
        logger.error("run %d of %s: these processes do not end: %s", run.number, run.job_id, pids)
    elif group is not None:
        _remove_group(group)
    return is_empty and not left


def _kill_group(group: Path, run: Run) -> bool:
    """True when nobody is in the group, or when only a sweep can tell."""
    try:
        return cgroups.kill_group(group, run.mark, KILL_TIMEOUT)
    except OSError as error:
        logger.warning("run %d of %s is ended by a sweep, its group cannot be: %s", run.number, run.job_id, error)
        return True


def _remove_group(group: Path) -> None:
    try:
        cgroups.remove(group)
    except OSError as error:  # an empty folder is in nobody's way
        logger.warning("%s cannot be removed: %s", group, error)


def spool(folder: Path, run: Run) -> Spool:
    """What the runner, which has ended, could not deliver."""
    path = spool_path(folder, run.number)
    with suppress(OSError):  # what stays is in nobody's way
        discard_unfinished(path)
    try:
        return read_spool(path, run.job_id, run.number)
    except OSError as error:
        return Spool((), str(error))


def mistake(folder: Path, run: Run) -> Reason | None:
    """Why the runner could not load the pipeline in its interpreter, if that is what ended it."""
    path = folder / "logs" / f"run-{run.number}.mistake.json"
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MISTAKE_LIMIT))
        place = f" ({document['file']}:{document['line']})" if document.get("file") else ""
        return Reason(
            "PIPELINE_NOT_IMPORTABLE",
            f"The pipeline could not be loaded: {document['message']}{place}",
            document.get("remedy") or "Correct the pipeline, then resume the job.",
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is not readable: %s", path, error)
        return Reason("PIPELINE_NOT_IMPORTABLE", "The pipeline could not be loaded.", "See the job's log.")


def has_processes(run: Run) -> bool:
    """Whether any process of this run is alive, found by its mark."""
    return any(processes.is_alive(identity) for identity in processes.marked(run.mark))
