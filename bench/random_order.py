"""1,000,000 items that finish in any order: what the store records a second, against the same rows in bare SQLite.

Bare: a task is inserted, its item updated, one partial index kept, in commits of 1,000. Both go through all items in
the same random order, taking turns.
"""

import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.measuring import Effort, folder, say
from bench.table import Row, at_least
from milepost.core.definition import Gives
from milepost.core.model import Child, TaskRef
from milepost.daemon.store import children, jobs
from milepost.daemon.store.connection import configure_writer
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import CHECKPOINT_SIZE, Store, checkpoint
from tests.support import factories
from tests.support.applying import apply

ITEMS = 1_000_000
COMMIT = 1000
TURN = 50_000
JOB = "j-aaaaaaaa"
DEFINITION = factories.pipeline(
    factories.step("rows", gives=Gives.MANY, enumerates=True), factories.step("work"), name="random"
)
ROOT = TaskRef(0, 0, 0)
RESULT = '{"ok":1}'
SCHEMA = """
CREATE TABLE item (
    job INTEGER, id INTEGER, key TEXT, payload_json TEXT, step INTEGER, state TEXT, PRIMARY KEY (job, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_pending ON item (job, step, id) WHERE state = 'PENDING';
CREATE TABLE task (
    job INTEGER, step INTEGER, item INTEGER, outcome TEXT, result_json TEXT, start_time REAL, end_time REAL,
    PRIMARY KEY (job, step, item)
) STRICT, WITHOUT ROWID;
"""


async def measure(effort: Effort) -> list[Row]:
    count = effort.count(ITEMS)
    order = list(range(1, count + 1))
    random.Random(1).shuffle(order)
    ours = bare_seconds = 0.0
    with folder() as path:
        bare = Bare(path / "bare.db", count)
        store = await Store.open(path / "state")
        try:
            await _fill(store, count)
            for turn in parts(order, TURN):
                ours += await _record(store, turn)
                bare_seconds += bare.record(turn)
                say(f"  ours {ours:.1f} s, bare {bare_seconds:.1f} s")
        finally:
            await store.close()
            bare.close()
    what = f"{count:,} items finish in random order (store alone)"
    return [Row(what, "tasks/s", count / ours, count / bare_seconds, "bare SQLite", at_least(0.5))]


async def _fill(store: Store, count: int) -> None:
    await store.write(lambda tx: jobs.insert(tx, factories.job(JOB, DEFINITION), DEFINITION))
    for numbers in parts(range(count), 10 * COMMIT):
        await store.write(partial(_add, numbers))


def _add(numbers: Sequence[int], tx: Transaction) -> None:
    given = [Child("", _payload(number)) for number in numbers]
    children.add(tx, JOB, DEFINITION, ROOT, 1, numbers[0], given, time.time())


async def _record(store: Store, items: Sequence[int]) -> float:
    begun = time.perf_counter()
    for some in parts(items, COMMIT):
        await store.write(partial(_apply, some))
    return time.perf_counter() - begun


def _apply(items: Sequence[int], tx: Transaction) -> None:
    found = [factories.succeeded(1, item, result_json=RESULT) for item in items]
    applied = apply(tx, JOB, 1, DEFINITION, found, time.time(), factories.no_jitter())
    if applied.superseded:
        raise RuntimeError(f"{len(applied.superseded)} reports did not count")


class Bare:
    """The floor."""

    def __init__(self, path: Path, count: int) -> None:
        path.touch(0o600)
        self._wal = path.with_name(path.name + "-wal")
        self._moved = 0
        self._database = sqlite3.connect(path, isolation_level=None)
        configure_writer(self._database, "FULL")
        self._database.executescript(SCHEMA)
        self._database.execute("BEGIN")
        rows = ((item, str(item), _payload(item - 1)) for item in range(1, count + 1))
        self._database.executemany("INSERT INTO item VALUES (1, ?, ?, ?, 1, 'PENDING')", rows)
        self._database.execute("COMMIT")
        checkpoint(self._database)

    def record(self, items: Sequence[int]) -> float:
        """Seconds."""
        begun = time.perf_counter()
        for some in parts(items, COMMIT):
            now = time.time()
            tasks = ((item, RESULT, now, now) for item in some)
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO task VALUES (1, 1, ?, 'SUCCEEDED', ?, ?, ?)", tasks)
            moved = ((item,) for item in some)
            self._database.executemany("UPDATE item SET state = 'SUCCEEDED' WHERE job = 1 AND id = ?", moved)
            self._database.execute("COMMIT")
            self._checkpoint_when_large()
        return time.perf_counter() - begun

    def _checkpoint_when_large(self) -> None:
        """As the store does it."""
        size = self._wal.stat().st_size
        if size < self._moved:
            self._moved = 0
        if size - self._moved >= CHECKPOINT_SIZE:
            self._moved = size
            checkpoint(self._database)

    def close(self) -> None:
        self._database.close()


def parts(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _payload(number: int) -> str:
    return f'{{"handle":"x","n":{number}}}'
