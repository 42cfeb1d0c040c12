"""The input of a job: copied into its folder at submit, and checked before each run.

Plain functions that block: on the loop, call them through a thread.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from milepost.common.edges import edge
from milepost.core.errors import Code, MilepostError
from milepost.core.model import InputFile, Reason

#: Name of the copy within the job's folder.
COPY = "input"
_CHUNK = 1024 * 1024


def copy_input(source: Path, folder: Path) -> InputFile:
    """Copies a regular file to `folder/input`, durably. Raises MilepostError: INPUT_UNREADABLE, STORE_FULL."""
    try:
        # Opening a pipe for reading would wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(source, f"it cannot be opened ({error.strerror})") from error
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise _unreadable(source, "it is not a regular file")
        size, digest = _write(folder / COPY, _chunks(descriptor, source))
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise _unreadable(source, "it was changed while it was copied")
    return InputFile(COPY, source.name, size, digest)


def write_inline_items(items_json: Iterable[str], folder: Path) -> InputFile:
    """Writes one JSON object a line to `folder/input`; the texts must have been checked. Raises STORE_FULL."""
    size, digest = _write(folder / COPY, (f"{item}\n".encode() for item in items_json))
    return InputFile(COPY, "", size, digest, inline=True)


def verify_input(folder: Path, file: InputFile) -> Reason | None:
    """Why the copy cannot be used any more (INPUT_LOST), or None when it is as it was at submit."""
    path = folder / file.file
    try:
        if path.stat().st_size != file.size:
            return _lost(path, file, "has another size than at submit")
        with path.open("rb") as copy:
            digest = hashlib.file_digest(copy, "sha256").hexdigest()
    except OSError as error:
        return _lost(path, file, f"cannot be read ({error.strerror})")
    return None if digest == file.digest else _lost(path, file, "has another content than at submit")


def _chunks(descriptor: int, source: Path) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError as error:
            raise _unreadable(source, f"reading it failed ({error.strerror})") from error
        if not chunk:
            return
        yield chunk


@edge("inputs.write")
def _write(path: Path, chunks: Iterable[bytes]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MilepostError(
            Code.STORE_FULL,
            f"The input cannot be copied into the state folder: {error.strerror}.",
            "Make room on that disk, then submit again.",
        ) from error
    return size, digest.hexdigest()


def _unreadable(source: Path, why: str) -> MilepostError:
    return MilepostError(
        Code.INPUT_UNREADABLE,
        f"The input {source} cannot be used: {why}.",
        "Name a file that can be read, then submit again.",
        {"field": "input_path", "path": str(source)},
    )


def _lost(path: Path, file: InputFile, what: str) -> Reason:
    name = file.name or "its inline items"
    return Reason(
        "INPUT_LOST",
        f"The job's copy of its input ({name}) {what}: {path}.",
        f"Put the file with SHA-256 {file.digest} back there and resume, or submit the job again.",
    )
