"""The processes that the runner starts, and the orphans that it inherits as a subreaper."""

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import signal
from collections.abc import Mapping, Sequence

from milepost.common.edges import edge
from milepost.common.processes import ProcessIdentity, identify, kill_family

_LOG = logging.getLogger(__name__)

_KILL_DEADLINE = 10.0
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Children:
    """Starts processes, each the leader of a group of its own, and reaps: its own by pid, orphans as they come."""

    def __init__(self, mark: str, users_umask: int) -> None:
        self.mark = mark
        self._users_umask = users_umask
        self._own: set[int] = set()
        self._found: dict[str, str] = {}

    def start(
        self,
        argv: Sequence[str],
        cwd: str,
        environment: Mapping[str, str],
        *,
        output: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "Child":
        """`output` takes stdout and stderr; None: they go where the runner's go. Raises OSError, ValueError."""
        os.chdir(cwd)  # spawning cannot, and all paths of the runner's own are absolute
        descriptors: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        if output is not None:
            descriptors += [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        # One that is put where it is already is inherited; all others are close-on-exec.
        descriptors += [(os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in pass_fds]
        pid = self._spawn(self._find(argv[0], environment), argv, environment, descriptors)
        self._own.add(pid)
        return Child(self, pid)

    @edge("children.start")
    def _spawn(
        self, path: str, argv: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[tuple[object, ...]]
    ) -> int:
        """A third of what subprocess takes for it."""
        # No other thread of the runner makes files, so none gets this mask.
        own_umask = os.umask(self._users_umask)
        try:
            return os.posix_spawn(
                path, list(argv), environment, file_actions=descriptors, setpgroup=0, setsigdef=_IGNORED_BY_PYTHON
            )
        finally:
            os.umask(own_umask)

    def _find(self, program: str, environment: Mapping[str, str]) -> str:
        """The path of a program, remembered by its name as a shell does. Raises FileNotFoundError."""
        if "/" in program:
            return program
        path = self._found.get(program)
        if path is None or not os.access(path, os.X_OK):
            path = shutil.which(program, path=environment.get("PATH", os.defpath))
            if path is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
            self._found[program] = path
        return path

    def forget(self, pid: int) -> None:
        self._own.discard(pid)

    @edge("children.reap_orphans")
    def reap_orphans(self) -> None:
        """Removes the zombies of processes that somebody else started and left."""
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in self._own:
                    return  # its own waiter takes it; orphans behind it have time until the next call
                os.waitpid(ended.si_pid, os.WNOHANG)


class Child:
    """A process that was started. It is a zombie, and its number nobody else's, until `wait` has returned."""

    def __init__(self, children: Children, pid: int) -> None:
        self._children = children
        self._is_reaped = False
        identity = identify(pid)
        assert identity is not None, "a child that was not waited for is at least a zombie"
        self.identity: ProcessIdentity = identity

    @property
    def pid(self) -> int:
        return self.identity.pid

    async def wait(self, *, end_group: bool) -> int:
        """The exit code, negative for a signal. `end_group`: kill what it left behind in its group."""
        descriptor = os.pidfd_open(self.pid)
        try:
            await _readable(descriptor)
        finally:
            os.close(descriptor)
        if end_group:
            self.signal_group(signal.SIGKILL)
        return self._reap()

    @edge("children.reap")
    def _reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self._is_reaped = True
        self._children.forget(self.pid)
        return os.waitstatus_to_exitcode(status)

    async def kill_family(self) -> None:
        """Ends it with everything below it; somebody still has to wait for it."""
        left = await asyncio.to_thread(kill_family, self._children.mark, self.identity, _KILL_DEADLINE)
        if left:
            _LOG.error("these processes do not end: %s", [process.pid for process in left])

    @edge("children.signal_group")
    def signal_group(self, number: signal.Signals) -> None:
        """Nothing happens once it has been waited for."""
        if not self._is_reaped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
