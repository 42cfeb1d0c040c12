"""The processes that the runner starts, and the orphans that it inherits as a subreaper."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from milepost.common.edges import edge
from milepost.common.processes import ProcessIdentity, identify, kill_family

_LOG = logging.getLogger(__name__)

_KILL_DEADLINE = 10.0


class Children:
    """Starts processes, each the leader of a group of its own, and reaps: its own by pid, orphans as they come."""

    def __init__(self, mark: str, users_umask: int) -> None:
        self.mark = mark
        self._users_umask = users_umask
        self._own: set[int] = set()

    @edge("children.start")
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
        process = subprocess.Popen(
            argv,
            cwd=cwd or None,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            process_group=0,
            umask=self._users_umask,
        )
        self._own.add(process.pid)
        return Child(self, process)

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

    def __init__(self, children: Children, process: "subprocess.Popen[bytes]") -> None:
        self._children = children
        self._process = process
        identity = identify(process.pid)
        assert identity is not None, "a child that was not waited for is at least a zombie"
        self.identity: ProcessIdentity = identity

    @property
    def pid(self) -> int:
        return self._process.pid

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
        code = self._process.wait()
        self._children.forget(self.pid)
        return code

    async def kill_family(self) -> None:
        """Ends it with everything below it; somebody still has to wait for it."""
        left = await asyncio.to_thread(kill_family, self._children.mark, self.identity, _KILL_DEADLINE)
        if left:
            _LOG.error("these processes do not end: %s", [process.pid for process in left])

    @edge("children.signal_group")
    def signal_group(self, number: signal.Signals) -> None:
        """Nothing happens once it has been waited for."""
        if self._process.returncode is None:
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
