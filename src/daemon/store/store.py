"""The writer with its adaptive group commit, and the readers."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Commit:
    """What one commit changed: its revision, and the ids of the jobs that were touched in it."""

    revision: int
    job_ids: frozenset[str]


class Transaction:
    """What a function given to `Store.write` works with: a part of the commit with number `revision`."""

    def __init__(self, connection: sqlite3.Connection, revision: int) -> None:
        self.connection = connection
        self.revision = revision
        self.touched: set[str] = set()

    def touch(self, job_id: str) -> None:
        """Stamps the job with this commit's revision; those who listen are told."""
        raise NotImplementedError

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        return self.connection.executemany(sql, rows)


class Store:
    """Opened with `await Store.open(folder)`, ended with `await close()`."""

    path: Path
    id: str
    revision: int

    @classmethod
    async def open(cls, folder: Path, synchronous: str = "FULL") -> Self:
        """Opens or creates `folder/store.db`, brought to this version's schema.

        Raises MilepostError: STATE_FOLDER_FOREIGN, STORE_NEWER, STORE_UNUSABLE, STORE_FULL.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Commits what was asked for, then closes. May be called twice."""
        raise NotImplementedError

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Runs the function in the next commit and returns its result when that is durable.

        What the function raises is raised here, and its changes alone are undone. A caller that is cancelled does not
        cancel its function. Raises MilepostError STORE_FULL or STORE_UNUSABLE when the commit failed: then nothing of
        it has happened, and the store can be used again as soon as the cause is mended.
        """
        raise NotImplementedError

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the function on a reader, in one snapshot that holds every commit answered so far."""
        raise NotImplementedError

    def listen(self, callback: Callable[[Commit], None]) -> None:
        """The callback is called on the loop after each commit that changed something."""
        raise NotImplementedError
