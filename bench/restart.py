"""How soon a daemon serves: on a large store, and after `kill -9` under a running job, against `import grpc`."""

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import replace

from bench.measuring import Effort, alternate, say
from bench.own_daemon import submit
from bench.table import Row, at_most
from milepost.common.client import Client, is_listening
from milepost.core.model import Child, JobState, TaskRef
from milepost.daemon.store import children, jobs
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import FILE_NAME, Store
from milepost.v1 import daemon_service_pb2
from tests.support import factories
from tests.support.applying import apply
from tests.support.daemon import RealDaemon, daemon_to_be, real_daemon
from tests.support.factories import NOW

JOBS = 10_000
TASKS_A_JOB = 100
ROUNDS = 5
FLOOR = "import grpc"
_PAUSE = 0.002


async def measure(effort: Effort) -> list[Row]:
    number = effort.count(JOBS)
    grown = await _on_a_large_store(number, effort)
    killed = await _after_a_kill(effort)
    what = f"start with {number * TASKS_A_JOB:,} tasks of {number:,} jobs, until a call is answered"
    after = "kill -9 of the daemon under a running job, start,"
    return [
        Row(what, "s", grown["start"], grown[FLOOR], FLOOR, at_most(1, "ours")),
        Row(f"{after} until a call is answered", "s", killed["serving"], killed[FLOOR], FLOOR, at_most(1, "ours")),
        Row(f"{after} until its runner is back", "s", killed["attached"], killed[FLOOR], FLOOR),
    ]


async def _on_a_large_store(number: int, effort: Effort) -> dict[str, float]:
    async with daemon_to_be() as daemon:
        await _grow(daemon, number)

        async def start() -> float:
            seconds = await _until_serving(daemon)
            daemon.terminate()
            return seconds

        return await alternate(effort.count(ROUNDS), {"start": start, FLOOR: _import_grpc})


async def _after_a_kill(effort: Effort) -> dict[str, float]:
    attached: list[float] = []
    async with real_daemon() as daemon:
        job = await submit(daemon, "busy", count=20_000, starts=str(daemon.folder / "starts"))
        await daemon.wait_for(job, lambda found: found.counts.succeeded > 100, "it is under way")

        async def kill() -> float:
            daemon.kill()
            begun = time.perf_counter()
            seconds = await _until_serving(daemon)
            await daemon.wait_for(job, lambda found: found.in_flight, "its runner is back")
            attached.append(time.perf_counter() - begun)
            return seconds

        times = await alternate(effort.count(ROUNDS), {"serving": kill, FLOOR: _import_grpc})
    return {**times, "attached": statistics.median(attached)}


async def _until_serving(daemon: RealDaemon) -> float:
    """Seconds from the start of its process until it has answered a call."""
    begun = time.perf_counter()
    process = daemon.spawn()
    while not is_listening(daemon.socket):
        if process.poll() is not None:
            raise RuntimeError(daemon.log()[-2000:])
        await asyncio.sleep(_PAUSE)
    async with Client(daemon.socket, "bench") as client:
        await client.call(client.daemon.GetInfo, daemon_service_pb2.GetInfoRequest())
    return time.perf_counter() - begun


def _import_grpc() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import grpc"], check=True)
    return time.perf_counter() - begun


# --- a large store ---


async def _grow(daemon: RealDaemon, number: int) -> None:
    """A completed job as the store writes it, and copies of its rows."""
    store = await Store.open(daemon.state)
    await store.write(_completed_job)
    await store.close()
    path = daemon.state / FILE_NAME
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("BEGIN")
        for table, copied in (
            ("job", "sequence"),
            ("step", "job"),
            ("step_label", "job"),
            ("item", "job"),
            ("task", "job"),
        ):
            _copy(database, table, copied, number)
        database.execute("COMMIT")
    database.close()
    say(f"  a store of {path.stat().st_size / 2**20:,.0f} MB")


def _completed_job(tx: Transaction) -> None:
    definition = factories.creators()
    job = jobs.insert(tx, factories.job("j-00000001", definition), definition)
    rows = [Child(f"item-{item}", f'{{"handle":"item-{item}"}}') for item in range(TASKS_A_JOB // 2 - 1)]
    children.add(tx, job.id, definition, TaskRef(0, 0, 0), 1, 0, rows, NOW)
    done = [factories.succeeded(step, item) for step in (1, 2) for item in range(1, len(rows) + 1)]
    given = [factories.succeeded(0, 0), *done, factories.succeeded(3, 0)]
    apply(tx, job.id, 1, definition, given, NOW, factories.no_jitter())
    ended = replace(jobs.get(tx.connection, job.id), state=JobState.COMPLETED, queue_time=None, end_time=NOW)
    jobs.save(tx, ended)


def _copy(database: sqlite3.Connection, table: str, key: str, number: int) -> None:
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    changed = {key: "number.value", "id": "printf('j-%08d', number.value)" if table == "job" else "id"}
    values = ", ".join(changed.get(column, f"{table}.{column}") for column in columns)
    database.execute(
        f"""
        WITH RECURSIVE number (value) AS (SELECT 2 UNION ALL SELECT value + 1 FROM number WHERE value < ?)
        INSERT INTO {table} ({", ".join(columns)})
        SELECT {values} FROM number CROSS JOIN {table} WHERE {table}.{key} = 1
        """,
        (number,),
    )
