"""From a forced cancel until the job says CANCELLED and nobody of its tree is alive, against `kill -9` of each by hand.

The tree is that of `tests/support/hiding.py`: children, sessions, daemons that were forked twice and cleared their
environment, all deaf to SIGTERM.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bench.measuring import Effort, alternate, folder
from bench.own_daemon import submit_command
from bench.table import Row, at_most
from milepost.common.processes import ProcessIdentity, identify, is_alive
from milepost.core.model import JobState
from milepost.v1 import job_service_pb2 as pb
from tests.support import hiding
from tests.support.daemon import RealDaemon, real_daemon, state_of
from tests.support.wait import wait_until

#: The requirement, in milliseconds.
LIMIT = 2000
DEADLINE = 30.0
_PAUSE = 0.002

Tree = list[ProcessIdentity]


async def measure(effort: Effort) -> list[Row]:
    times = await alternate(
        effort.rounds,
        {
            "command": partial(_ours, _command),
            "Python": partial(_ours, _python),
            "by hand": _by_hand,
        },
    )
    return [
        Row(f"forced cancel of a {step} step's tree", "ms", times[step], times["by hand"], "kill -9 of each", target)
        for step, target in (("command", at_most(LIMIT, of="ours")), ("Python", at_most(LIMIT, of="ours")))
    ]


async def _ours(submit: Callable[[RealDaemon, Path], Awaitable[str]]) -> float:
    async with real_daemon() as daemon:
        place = daemon.folder / "hiding"
        job = await submit(daemon, place)
        tree = await _tree(place)
        try:
            begun = time.perf_counter()
            await daemon.client.call(daemon.client.jobs.ForceCancelJob, pb.ForceCancelJobRequest(job=job))
            while state_of(await daemon.job(job)) is not JobState.CANCELLED or any(map(is_alive, tree)):
                await _pause(begun)
            return (time.perf_counter() - begun) * 1e3
        finally:
            _end_released(place)


async def _command(daemon: RealDaemon, place: Path) -> str:
    lines = daemon.folder / "items.txt"
    lines.write_text(f"{place}\n")
    return await submit_command(daemon, [sys.executable, hiding.__file__, "{}"], lines, 1)


async def _python(daemon: RealDaemon, place: Path) -> str:
    argv = [sys.executable, hiding.__file__, str(place)]
    return (await daemon.submit("detaching.py", parameters={"argv": argv})).id


async def _by_hand() -> float:
    """By somebody who knows each of them."""
    with folder() as path:
        place = path / "hiding"
        leader = subprocess.Popen([sys.executable, hiding.__file__, str(place)], start_new_session=True)  # noqa: ASYNC220
        tree = await _tree(place)
        try:
            begun = time.perf_counter()
            os.killpg(leader.pid, signal.SIGKILL)
            for identity in filter(is_alive, tree):
                os.kill(identity.pid, signal.SIGKILL)
            while any(map(is_alive, tree)):
                await _pause(begun)
            return (time.perf_counter() - begun) * 1e3
        finally:
            leader.wait()
            _end_released(place)


async def _pause(begun: float) -> None:
    if time.perf_counter() - begun > DEADLINE:
        raise RuntimeError(f"not all are dead within {DEADLINE:g} s")
    await asyncio.sleep(_PAUSE)


async def _tree(place: Path) -> Tree:
    async def complete() -> Tree | None:
        files = [place / name for name in (*hiding.HIDDEN, hiding.RELEASED)]
        if not all(file.exists() for file in files):
            return None
        found = [identify(int((place / name).read_text())) for name in hiding.HIDDEN]
        return [identity for identity in found if identity is not None]

    return await wait_until(complete, "all are hidden")


def _end_released(place: Path) -> None:
    """It is no part of the job, so it lives."""
    os.kill(int((place / hiding.RELEASED).read_text()), signal.SIGKILL)
