"""The runner's process: arguments, token, signals, and that nothing of its tree is left when it ends."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from milepost.common.collector import prepare_collector
from milepost.common.edges import edge
from milepost.common.processes import MARK_VARIABLE, become_subreaper, identify, keep_ended_children, kill_tree
from milepost.runner.job import RunIdentity
from milepost.runner.link import Link
from milepost.runner.run import Run

EXIT_USAGE = 64
EXIT_FAILURE = 70

_SWEEP_DEADLINE = 10.0
_MAX_TOKEN = 4096

_LOG = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Started by the daemon; the exit codes are those of the package's design note."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="milepost: %(message)s")
    mark = os.environ.get(MARK_VARIABLE, "")
    if not mark:
        _LOG.error("%s is not set: the daemon starts runners, nobody else does", MARK_VARIABLE)
        return EXIT_USAGE
    users_umask = os.umask(0o077)
    keep_ended_children()
    become_subreaper()
    prepare_collector()
    identity = RunIdentity(options.job, options.run, mark, _read_token(options.token_fd), options.folder)
    try:
        return asyncio.run(_run(identity, options.socket, users_umask))
    except Exception:  # noqa: BLE001 (nobody is left to handle it: the log has it, and the daemon sees the exit code)
        _LOG.exception("the runner failed")
        return EXIT_FAILURE
    finally:
        left = kill_tree(mark, identify(os.getpid()), _SWEEP_DEADLINE)
        if left:
            _LOG.error("these processes do not end: %s", [process.pid for process in left])
        _reap()


async def _run(identity: RunIdentity, socket: Path, users_umask: int) -> int:
    async with Link(socket) as link:
        run = Run(identity, link, users_umask)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, run.terminate)
        # Handlers that do nothing, not SIG_IGN: what the pipeline starts would inherit that.
        for ignored in (signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(ignored, lambda: None)
        return await run.run()


@edge("main.reap")
def _reap() -> None:
    """Leaves no zombies to a parent that may not care for them."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _read_token(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read(_MAX_TOKEN).decode().strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="milepost.runner", description="One run of a job; the daemon starts it.")
    parser.add_argument("--socket", type=Path, required=True, help="the daemon's socket")
    parser.add_argument("--job", required=True, help="id of the job")
    parser.add_argument("--run", type=int, required=True, help="number of the run")
    parser.add_argument("--folder", type=Path, required=True, help="the job's folder")
    parser.add_argument("--token-fd", type=int, required=True, help="descriptor from which the run's token is read")
    return parser
