"""What SQLite's failures mean to a person."""

import errno
import sqlite3
from pathlib import Path

from milepost.core.errors import Code, MilepostError

#: Primary result codes after which the whole commit is given up, whoever's statement met them.
_OF_THE_STORAGE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_NOMEM,
    }
)

#: A full disk shows in the `-shm` file, too, and then only there under a name of its own.
_FULL_EXTENDED = frozenset({sqlite3.SQLITE_IOERR_SHMSIZE})
#: These pass: as soon as there is space, or the other program has ended, the same connection can go on.
_PASSING = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})


def is_of_storage(error: BaseException) -> bool:
    """True for failures of the disk or the file, false for a mistake in a statement or a broken constraint."""
    return isinstance(error, sqlite3.Error) and _primary_code(error) in _OF_THE_STORAGE


def is_final(error: BaseException) -> bool:
    """True when what this connection believes and what is on the disk may differ: the store must be opened anew."""
    return is_of_storage(error) and _primary_code(error) not in _PASSING


def explain(error: BaseException, path: Path) -> MilepostError:
    """The error that a person reads."""
    match _primary_code(error):
        case sqlite3.SQLITE_FULL:
            return MilepostError(
                Code.STORE_FULL,
                f"No space is left on the disk of {path}: nothing could be recorded.",
                "Free some space there; what was not recorded is tried again or runs again.",
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return MilepostError(
                Code.STORE_UNUSABLE,
                f"{path} is not a usable database ({error}).",
                "Move it away and restore a backup, or start on another state folder with --state-dir.",
            )
        case sqlite3.SQLITE_BUSY:
            return MilepostError(
                Code.STORE_UNUSABLE,
                f"Another program holds {path} ({error}).",
                "End whatever has that file open, then try again.",
            )
        case _:
            return MilepostError(
                Code.STORE_UNUSABLE,
                f"{path} could not be read or written ({error}).",
                "Check the disk and the permissions of the state folder, then try again.",
            )


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code in _FULL_EXTENDED or getattr(error, "errno", None) == errno.ENOSPC:
        return sqlite3.SQLITE_FULL
    return None if code is None else code & 0xFF
