"""Connections to SQLite that run a whole function in their thread: one hop for a transaction."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

import aiosqlite

from milepost.common.edges import edge

T = TypeVar("T")

_BUSY_TIMEOUT_SECONDS = 5.0
#: Statements that a connection keeps prepared: all of ours.
_CACHED_STATEMENTS = 512
_WRITER_CACHE_KIB = 16 * 1024


class StoreConnection(aiosqlite.Connection):
    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the function in the connection's thread. A cancelled caller does not stop it."""
        execute = cast(Any, self._execute)  # Any: aiosqlite leaves it untyped
        return cast(T, await execute(function, self._conn))


async def open_writer(path: Path) -> StoreConnection:
    """The only connection that writes and checkpoints. The file must exist (with its permissions).

    Until `configure_writer` it has written nothing, so that a file which is not ours stays as it is.
    """
    return await _open(path, "rw")


def configure_writer(connection: sqlite3.Connection, synchronous: str) -> None:
    """To be run in the writer's thread, before there is a table."""
    for setting in (
        "PRAGMA auto_vacuum = INCREMENTAL",  # only an empty file takes it: later it would need a VACUUM
        "PRAGMA journal_mode = WAL",
        f"PRAGMA synchronous = {synchronous}",
        "PRAGMA wal_autocheckpoint = 0",
        # The WAL file shrinks when it begins anew, so that its size tells how much waits for a checkpoint.
        "PRAGMA journal_size_limit = 0",
        f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}",
    ):
        connection.execute(setting).fetchall()


async def open_reader(path: Path) -> StoreConnection:
    return await _open(path, "ro", "PRAGMA query_only = ON")


async def _open(path: Path, mode: str, *settings: str) -> StoreConnection:
    connection = StoreConnection(lambda: _connect(path, mode), iter_chunk_size=64)
    await connection
    try:
        await connection.run(lambda raw: [raw.execute(setting).fetchall() for setting in settings])
    except BaseException:
        await connection.close()
        raise
    return connection


@edge("store.commit")
def commit(connection: sqlite3.Connection) -> None:
    """Ends the transaction; it is durable when this returns."""
    connection.execute("COMMIT")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        cached_statements=_CACHED_STATEMENTS,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
