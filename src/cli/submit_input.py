"""An input that only this process can read (a pipe, `-`) is put where the daemon can copy it from."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from milepost.core.errors import Code, MilepostError


@contextmanager
def readable_by_daemon(path: Path) -> Iterator[str]:
    """The path itself for a file; for a pipe or `-` that of a temporary copy, removed at exit (after the submit).

    Raises MilepostError(INPUT_UNREADABLE).
    """
    if path.name != "-" and (path.is_file() or path.is_dir() or not path.exists()):
        yield str(path)  # what is wrong with it, the daemon tells
        return
    with tempfile.NamedTemporaryFile(prefix="milepost-input-") as copy:
        try:
            if path.name == "-":
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, copy)
            copy.flush()
        except OSError as error:
            raise MilepostError(
                Code.INPUT_UNREADABLE, f"The input {path} cannot be read: {error.strerror}.", "Name another file."
            ) from error
        yield copy.name
