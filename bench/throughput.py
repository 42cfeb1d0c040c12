"""Durable tasks per second of no-op steps, against DBOS (SQLite) and against the bare path."""

import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.measuring import HERE, Contestant, Effort, alternate, folder, run_script
from bench.own_daemon import completed, seconds, submit
from bench.table import Row, Target, at_least
from milepost.common.client import is_listening
from tests.support.daemon import real_daemon

ITEMS = 100_000
#: DBOS steps a round: it is so much slower that a round would take an hour.
DBOS_STEPS = 600


async def one_step(effort: Effort) -> list[Row]:
    count = effort.count(ITEMS)
    rates = await alternate(
        effort.rounds,
        {
            "with enumeration": partial(ours, "one_step", count, ["no_operation"]),
            "behind enumeration": partial(ours, "one_step_behind_items", count, ["no_operation"]),
            "bare path": partial(bare_path, count),
            **_dbos("async", effort),
        },
    )
    together, behind = "one async step, items enumerated meanwhile", "one async step, all items there"
    return [
        _row(together, rates["with enumeration"], rates["bare path"], "bare path", at_least(0.5)),
        _row(behind, rates["behind enumeration"], rates["bare path"], "bare path", at_least(0.5)),
        *_against_dbos(together, rates["with enumeration"], rates),
    ]


async def three_steps(effort: Effort) -> list[Row]:
    count = effort.count(ITEMS // 5)
    rates = await alternate(
        effort.rounds,
        {
            "three steps": partial(ours, "three_steps", count, ["first", "second", "third"]),
            "bare path": partial(bare_path, 3 * count),
            **_dbos("three", effort),
        },
    )
    what = "three async steps an item"
    return [
        _row(what, rates["three steps"], rates["bare path"], "bare path", at_least(0.5)),
        *_against_dbos(what, rates["three steps"], rates),
    ]


async def sync_step(effort: Effort) -> list[Row]:
    count = effort.count(ITEMS // 4)
    rates = await alternate(
        effort.rounds,
        {
            "sync step": partial(ours, "one_sync_step", count, ["no_operation_in_a_thread"]),
            "bare path": partial(bare_path, count),
            **_dbos("sync", effort),
        },
    )
    what = "one sync step (threads)"
    return [
        _row(what, rates["sync step"], rates["bare path"], "bare path"),
        *_against_dbos(what, rates["sync step"], rates),
    ]


async def ours(pipeline: str, count: int, steps: Sequence[str]) -> float:
    """From the start of the first task to the commit that has the last one."""
    async with real_daemon() as daemon:
        job = await completed(daemon, await submit(daemon, pipeline, count=count))
        return count * len(steps) / seconds(job, steps[0], steps[-1])


def bare_path(count: int) -> float:
    with folder() as path:
        command = [sys.executable, "daemon.py", str(path), str(count)]
        with subprocess.Popen(command, cwd=HERE / "bare_path", stderr=subprocess.DEVNULL) as daemon:
            try:
                _wait_for(path / "bare.sock")
                answer = run_script("bare_path/runner.py", path, count, cwd=HERE / "bare_path")
            finally:
                daemon.kill()
        return float(answer["per_second"])


def _wait_for(socket: Path) -> None:
    for _ in range(1000):
        if is_listening(socket):
            return
        time.sleep(0.01)
    raise RuntimeError("the daemon of the bare path does not serve")


def _dbos(kind: str, effort: Effort) -> dict[str, Contestant]:
    def rate(*options: str) -> float:
        return float(run_script("peers/dbos_steps.py", kind, effort.count(DBOS_STEPS), *options)["per_second"])

    return {"DBOS": rate, "DBOS, WAL": partial(rate, "wal")}


def _against_dbos(what: str, rate: float, rates: dict[str, float]) -> list[Row]:
    return [_row(what, rate, rates[peer], peer) for peer in ("DBOS", "DBOS, WAL")]


def _row(what: str, rate: float, peer: float, peer_name: str, target: Target | None = None) -> Row:
    return Row(what, "tasks/s", rate, peer, peer_name, target)
