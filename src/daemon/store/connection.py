"""Connections to SQLite that run a whole function in their thread: one hop for a transaction."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

import aiosqlite

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


async def open_writer(path: Path, synchronous: str) -> StoreConnection:
    """The only connection that writes and checkpoints. The file must exist (with its permissions)."""

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "rw")
        try:
            # Only an empty file takes it; later VACUUM would be needed.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
            # The WAL file shrinks when it begins anew, so that its size tells how much waits for a checkpoint.
            connection.execute("PRAGMA journal_size_limit = 0")
        except BaseException:
            connection.close()
            raise
        return connection

    return await _start(connect)


async def open_reader(path: Path) -> StoreConnection:
    def connect() -> sqlite3.Connection:
        connection = _connect(path, "ro")
        connection.execute("PRAGMA query_only = ON")
        return connection

    return await _start(connect)


async def _start(connect: Callable[[], sqlite3.Connection]) -> StoreConnection:
    connection = StoreConnection(connect, iter_chunk_size=64)
    await connection
    return connection


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
