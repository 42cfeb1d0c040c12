"""One transaction for all who wait: each function in a savepoint of its own, those who ask for the same in one call."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from milepost.daemon.store import failures, rows
from milepost.daemon.store.advance import Advance
from milepost.daemon.store.connection import commit
from milepost.daemon.store.queries import load

T = TypeVar("T")

_QUERIES = load("group_commit")


@dataclass(frozen=True)
class Commit:
    """What one commit changed: its revision, and the ids of the jobs that were touched in it.

    `advances`: of those of which it only recorded tasks, by their ids.
    """

    revision: int
    job_ids: frozenset[str]
    advances: Mapping[str, Advance] = field(default_factory=dict)


class Transaction:
    """What a function given to `Store.write` works with: a part of the commit with number `revision`."""

    def __init__(self, connection: sqlite3.Connection, revision: int) -> None:
        self.connection = connection
        self.revision = revision
        #: Jobs that have changed, and how those got on of which only tasks were recorded, here or in a function before.
        self.touched: set[str] = set()
        self.advances: dict[str, Advance] = {}

    def touch(self, job_id: str) -> None:
        """Stamps the job with this commit's revision; those who listen are told."""
        if job_id not in self.touched:
            self.connection.execute(_QUERIES.touch, (self.revision, job_id))
            self.touched.add(job_id)

    def touch_active(self, job_ids: Sequence[str], now: float) -> None:
        """As `touch`, for jobs that got on at this time; the caller tells what changed of them."""
        self.connection.execute(_QUERIES.touch_active, (self.revision, now, rows.dump(job_ids)))

    def advance(self, job_id: str, advance: Advance) -> None:
        """The job got on, and nothing else of it has changed in this call."""
        known = self.advances.get(job_id)
        if known is not None:
            self.advances[job_id] = known.joined(advance)
        elif advance.before < self.revision:
            self.advances[job_id] = advance
        else:
            self.touched.add(job_id)  # another change of this commit came before

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, parameters)  # Any: whatever SQLite stores

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        return self.connection.executemany(sql, rows)


@dataclass
class Result:
    value: Any = None  # Any: of the function's own type
    error: Exception | None = None


@dataclass
class Write(Generic[T]):
    """A function that waits for the next commit, and who waits for it."""

    function: Callable[[Transaction, Sequence[Any]], Sequence[T]]
    argument: Any  # of the function's own type
    answer: asyncio.Future[T]

    def resolve(self, result: Result) -> None:
        if self.answer.done():  # its caller was cancelled; the commit stands
            return
        if result.error is not None:
            self.answer.set_exception(result.error)
        else:
            self.answer.set_result(result.value)


@dataclass
class Committed:
    """What became of the functions that went into one commit. `commit` is None when they changed nothing.

    `results`: by the number of the write, in the order in which the functions ran, so that who hears of the same job
    from several hears the newest last.
    """

    results: Mapping[int, Result]
    commit: Commit | None = None


@dataclass
class _Changed:
    """By the functions of a commit whose changes stand."""

    touched: set[str] = field(default_factory=set)
    advances: dict[str, Advance] = field(default_factory=dict)

    def add(self, transaction: Transaction) -> None:
        """One that comes after another has touched what the other advanced: see `Transaction.advance`."""
        self.touched |= transaction.touched
        self.advances |= transaction.advances

    def by(self, revision: int) -> Commit:
        advances = {job_id: one for job_id, one in self.advances.items() if job_id not in self.touched}
        return Commit(revision, frozenset(self.touched | self.advances.keys()), advances)


def commit_together(connection: sqlite3.Connection, revision: int, writes: Sequence[Write[Any]]) -> Committed:
    """A result for each. Raises sqlite3.Error: nothing happened."""
    changes = connection.total_changes
    results: dict[int, Result] = {}
    changed = _Changed()
    connection.execute("BEGIN IMMEDIATE")
    try:
        for alike in _alike(writes):
            results |= _call(connection, revision, writes, alike, changed)
        if connection.total_changes == changes:
            connection.execute("ROLLBACK")
            return Committed(results)
        connection.execute(_QUERIES.set_revision, (revision,))
        commit(connection)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return Committed(results, changed.by(revision))


def _alike(writes: Sequence[Write[Any]]) -> Iterable[list[int]]:
    """Numbers of the writes with the same function, each function where it stands first."""
    calls: dict[Callable[..., Any], list[int]] = {}
    for number, write in enumerate(writes):
        calls.setdefault(write.function, []).append(number)
    return calls.values()


def _call(
    connection: sqlite3.Connection,
    revision: int,
    writes: Sequence[Write[Any]],
    alike: Sequence[int],
    changed: _Changed,
) -> dict[int, Result]:
    """Adds the jobs that changed. Raises sqlite3.Error when the disk or the file has failed."""
    transaction = Transaction(connection, revision)
    connection.execute("SAVEPOINT write")
    try:
        values = writes[alike[0]].function(transaction, [writes[number].argument for number in alike])
    except Exception as error:
        if failures.is_of_storage(error):
            raise
        if not connection.in_transaction:
            raise sqlite3.OperationalError("the transaction was ended from within") from error
        connection.execute("ROLLBACK TO write")
        connection.execute("RELEASE write")
        if len(alike) == 1:
            return {alike[0]: Result(error=error)}
    else:
        connection.execute("RELEASE write")
        changed.add(transaction)
        return {number: Result(value) for number, value in zip(alike, values, strict=True)}
    apart: dict[int, Result] = {}
    for number in alike:
        apart |= _call(connection, revision, writes, [number], changed)
    return apart
