"""Brings a store's file to this version's schema: numbered `.sql` files, forward only, a backup before."""

import os
import re
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from milepost.common.edges import edge
from milepost.core.errors import Code, MilepostError
from milepost.daemon.store.connection import commit

#: Marks the file as Milepost's in the SQLite header ("MILE").
APPLICATION_ID = 0x4D494C45
_NAME = re.compile(r"(\d{3})_\w+\.sql")


def migrations() -> list[tuple[int, str]]:
    """(schema version it leads to, its SQL), in order."""
    folder = resources.files("milepost.daemon.store.sql.migrations")
    found = [(match, entry) for entry in folder.iterdir() if (match := _NAME.fullmatch(entry.name))]
    return sorted((int(match[1]), entry.read_text(encoding="utf-8")) for match, entry in found)


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Reads only. Raises MilepostError: STORE_NEWER, STORE_UNUSABLE when the file is some other program's."""
    newest = migrations()[-1][0]
    version = _pragma(connection, "user_version")
    if not _is_new(connection) and _pragma(connection, "application_id") != APPLICATION_ID:
        raise MilepostError(
            Code.STORE_UNUSABLE,
            f"{path} is a database of another program.",
            "Move it away, or choose another state folder with --state-dir.",
        )
    if version > newest:
        raise MilepostError(
            Code.STORE_NEWER,
            f"{path} was written by a newer Milepost (schema {version}; this one knows {newest}).",
            "Install that version again, or start on another state folder with --state-dir.",
        )


def migrate(connection: sqlite3.Connection, path: Path, store_id: str) -> None:
    """Runs in the writer's thread, on a file that passed `check`. `store_id` becomes that of a new store."""
    known = migrations()
    version = _pragma(connection, "user_version")
    if version == known[-1][0]:
        return
    is_new = _is_new(connection)
    if not is_new:
        back_up(connection, path.with_name(f"{path.name}.schema-{version}"))
    _apply(connection, [(number, sql) for number, sql in known if number > version], store_id if is_new else None)


def _is_new(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return bool(_pragma(connection, "user_version") == 0 and tables == 0)


@edge("migrate.back_up")
def back_up(connection: sqlite3.Connection, target: Path) -> None:
    """A consistent copy, complete or not there at all."""
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(unfinished)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    unfinished.replace(target)


def _apply(connection: sqlite3.Connection, steps: list[tuple[int, str]], store_id: str | None) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, sql in steps:
            for statement in statements(sql):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        if store_id is not None:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO meta (only_row, store_id, revision) VALUES (1, ?, 0)", (store_id,))
        commit(connection)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(sql: str) -> Iterator[str]:
    """One at a time: `executescript` would commit in between."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
