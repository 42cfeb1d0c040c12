"""`milepostd`: wires the parts together, serves until it is told to stop, and ends in order.

The order of the start is the order of trust: nobody else's folder, the only daemon on it, a store that can be read;
then the runners that outlived the last daemon are met, then clients.
"""

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import uvloop

from milepost.common import paths
from milepost.common.collector import prepare_collector
from milepost.common.ending import end_process
from milepost.common.processes import MARK_VARIABLE, keep_ended_children
from milepost.common.settings import DEFAULT_QUEUE_LIMIT, DESCRIPTIONS, Settings, load_settings
from milepost.core.errors import Code, MilepostError
from milepost.core.findings import Patience
from milepost.core.model import ACTIVE_STATES, Command, Job
from milepost.core.queueing import Limits
from milepost.daemon import cgroups
from milepost.daemon.commands import Asked, Commands
from milepost.daemon.dispatch import Dispatch
from milepost.daemon.live import Live
from milepost.daemon.reconcile import Reconcile, Rules
from milepost.daemon.rpc.job_service import Parts
from milepost.daemon.rpc.server import Serving, build_server
from milepost.daemon.runners import Runners
from milepost.daemon.sdk_copy import copy_sdk
from milepost.daemon.snapshot import Snapshots
from milepost.daemon.store import jobs
from milepost.daemon.store.store import Store
from milepost.daemon.submit import Submit, remove_orphan_folders
from milepost.daemon.vigil import Vigil
from milepost.daemon.watch import Hub
from milepost.v1 import daemon_service_pb2 as pb

#: Seconds that open calls get to end when the daemon stops.
STOP_GRACE = 2.0

logger = logging.getLogger("milepostd")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped as asked, 1 failed, 2 wrong settings or a folder that cannot be used, 3 another has it."""
    if sys.platform != "linux":
        print("error: Milepost runs on Linux only.", file=sys.stderr)
        return 2
    _leave_the_job_that_started_us()
    users_umask = os.umask(0o077)
    keep_ended_children()
    prepare_collector()
    flags = vars(_parser().parse_args(arguments))
    try:
        settings = load_settings(flags, os.environ)
        _log_to_stderr(settings.log_level)
        lock = _take_folder(settings.state_dir)
        try:
            failure = uvloop.run(_serve(settings, users_umask))
        finally:
            os.close(lock)
    except MilepostError as error:
        _tell(error)
        return paths.FOLDER_TAKEN if error.code is Code.DAEMON_ALREADY_RUNNING else 2
    except OSError as error:  # before it served: afterwards failures come in groups
        _tell(_unusable(error))
        return 2
    except BaseExceptionGroup:
        logger.exception("the daemon has failed; runners go on, and the next daemon takes them over")
        return 1
    if failure is not None:
        _tell(failure)
    return 0 if failure is None else 1


def _unusable(error: OSError) -> MilepostError:
    return MilepostError(
        Code.STATE_FOLDER_FOREIGN,
        f"The state folder cannot be used: {error}.",
        "Check the space on its disk, its health and the permissions, then start again.",
    )


def _tell(error: MilepostError) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    if error.remedy:
        print(f"next: {error.remedy}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="milepostd",
        description="Owns the jobs of one state folder and serves them to clients on a local socket.",
        epilog="Clients start it by themselves; systemd may run it as: milepostd --state-dir %S/milepost",
    )
    for name, description in DESCRIPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=description)
    return parser


def _leave_the_job_that_started_us() -> None:
    """A daemon that was started from inside a job must not be found and ended as a part of it.

    The mark is looked for in the environment a process was started with, so only a new start drops it.
    """
    if os.environ.get(MARK_VARIABLE):
        environment = {**os.environ, MARK_VARIABLE: ""}
        os.execve(sys.executable, [sys.executable, "-m", "milepost.daemon.main", *sys.argv[1:]], environment)  # noqa: S606


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _take_folder(folder: Path) -> int:
    """The lock of the state folder, held as long as its descriptor is open: the kernel frees it with the process.

    Raises MilepostError(DAEMON_ALREADY_RUNNING, STATE_FOLDER_FOREIGN).
    """
    paths.ensure_private_folder(folder)
    descriptor = os.open(folder / paths.LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise MilepostError(
            Code.DAEMON_ALREADY_RUNNING,
            f"Another daemon already serves {folder}.",
            "Use that one, or stop it first: milepost daemon stop.",
        ) from None
    return descriptor


def _own_group() -> Path | None:
    group = cgroups.own_group()
    if group is None:
        logger.info("process trees are ended by a sweep of /proc: the daemon has no control group to itself")
    else:
        logger.info("process trees are ended by cgroup.kill, below %s", group)
    return group


class Daemon:
    """The parts of a running daemon, and how they end."""

    def __init__(self, settings: Settings, store: Store, socket: Path, users_umask: int) -> None:
        folder = settings.state_dir
        self.settings = settings
        self.store = store
        self.stopping = asyncio.Event()
        sdk_folder = copy_sdk(folder)
        patience = Patience(settings.pause_timeout, settings.silence_timeout, settings.progress_timeout)
        self.vigil = Vigil(store, self._live, self._tell, patience)
        self.snapshots = Snapshots(folder, self._live, self.vigil)
        self.hub = Hub(store, self.snapshots)
        self.runners = Runners(folder, str(socket), self._wake, _own_group(), users_umask)
        self.dispatch = Dispatch(store, folder, sdk_folder, settings.runner_lease, self.hub.changed, self._wake)
        limits = Limits(settings.max_running_jobs, settings.queues, DEFAULT_QUEUE_LIMIT)
        self.commands = Commands(store, folder, self._intent_changed, limits)
        rules = Rules(limits, settings.auto_resume_limit)
        self.reconcile = Reconcile(store, folder, self.dispatch, self.commands, self.runners, self.vigil, rules)
        self.submit = Submit(store, folder, sdk_folder, settings.timeouts, self._wake, limits)

    def parts(self) -> Parts:
        """What the servicers ask."""
        return Parts(
            store=self.store,
            folder=self.settings.state_dir,
            snapshots=self.snapshots,
            hub=self.hub,
            commands=self.commands,
            dispatch=self.dispatch,
            submit=self.submit,
            closing=asyncio.Event(),
            cgroup=self.runners.group,
        )

    def _live(self, job_id: str) -> Live:
        return self.dispatch.live(job_id)

    def _tell(self, job_id: str) -> None:
        self.hub.changed(job_id)

    def _wake(self) -> None:
        self.reconcile.wake()

    def _intent_changed(self, job: Job) -> None:
        """An attached runner follows a stop by itself: nothing is to be compared until it ends, or is to be killed."""
        self.dispatch.show(job)
        is_attached = self.dispatch.is_attached(job.id, job.run_count)
        if not is_attached or job.stop is None or job.stop.force:
            self.reconcile.wake()

    async def drain(self, mode: "pb.DrainMode.ValueType", by: str, client: str) -> list[str]:
        """Treats the running jobs as told, then lets the daemon stop. Returns their ids.

        A caller that goes away meanwhile takes it back: the daemon stays, and what was paused stays paused.
        """
        self.reconcile.hold_queue(True)
        try:
            if mode == pb.DRAIN_MODE_LEAVE:
                ids = [job.id for job in await self._active()]
            else:
                command = Command.PAUSE_NOW if mode == pb.DRAIN_MODE_KILL else Command.PAUSE
                ids = await self._pause_all(command, by, client)
        except BaseException:
            self.reconcile.hold_queue(False)
            raise
        asyncio.get_running_loop().call_soon(self.stopping.set)
        return ids

    async def _active(self) -> list[Job]:
        return await self.store.read(lambda db: jobs.in_states(db, ACTIVE_STATES))

    async def _pause_all(self, command: Command, by: str, client: str) -> list[str]:
        """Until no job is active; also those whose start was under way when it began."""
        asked: list[str] = []
        committed = asyncio.Event()
        self.store.listen(lambda _: committed.set())
        while True:
            committed.clear()
            active = await self._active()
            for job in active:
                if job.id not in asked:
                    asked.append(job.id)
                    await self._pause(job.id, command, by, client)
            if not active:
                return asked
            await committed.wait()

    async def _pause(self, job_id: str, command: Command, by: str, client: str) -> None:
        try:
            await self.commands.control(job_id, Asked(command, "", "", by, client, reason="the daemon stops"))
        except MilepostError as error:
            logger.info("%s is left as it is: %s", job_id, error)


async def _serve(settings: Settings, users_umask: int) -> MilepostError | None:
    """Until it is told to stop, or the store has failed: then returns how."""
    store = await Store.open(settings.state_dir, settings.store_synchronous)
    try:
        await remove_orphan_folders(store, settings.state_dir)
        socket = paths.place_socket(settings.state_dir, settings.socket, os.environ)
        daemon = Daemon(settings, store, socket, users_umask)
        loop = asyncio.get_running_loop()
        store.on_failure(daemon.stopping.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.stopping.set)
        server = await build_server(daemon.parts(), socket, settings.described(), daemon.drain)
        await daemon.reconcile.close_ended_runs()
        async with asyncio.TaskGroup() as group:
            group.create_task(daemon.hub.run())
            group.create_task(daemon.reconcile.run())
            await server.start()
            logger.info("serving %s on %s", settings.state_dir, socket)
            # Not before: gRPC crashes when a server is stopped that has not been started.
            group.create_task(_stop_in_order(daemon, server))
    finally:
        await store.close()
    return store.failure


async def _stop_in_order(daemon: Daemon, server: Serving) -> None:
    """Clients first, then the loops, the store last: nothing is cut off that somebody still waits for."""
    await daemon.stopping.wait()
    logger.info("stopping; runners go on")
    daemon.hub.close()
    await server.stop(STOP_GRACE)
    daemon.reconcile.stop()
    daemon.runners.forget()


def serve() -> NoReturn:
    """The whole process of a daemon."""
    end_process(main())


if __name__ == "__main__":
    serve()
