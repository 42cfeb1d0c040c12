"""The file in which a runner leaves the batches that it could not deliver: `<job folder>/spool/run-<N>`.

Format: the line `milepost spool <protocol> <job id> <run>`, then one record a batch: length of the content (4 bytes,
big-endian), CRC-32 of the whole file up to here without the earlier CRCs, this content included (4 bytes, big-endian),
content (a serialized `milepost.v1.Batch`). So a record counts only in its own file, behind the records it was written
behind: one that was doubled, moved, left out or brought from elsewhere ends the reading. Batches build on each other (a
state that was saved later, children before the report that ends them), so what follows damage does not count either.

The file is written under another name, synced and renamed, so a spool that is there is whole unless it was altered. It
is as untrusted as any report.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from milepost.common.edges import edge
from milepost.common.wire.runner import PROTOCOL
from milepost.v1 import runner_service_pb2 as pb

MAX_RECORD = 16 * 1024 * 1024
MAX_HEADER = 256

_LENGTH = struct.Struct(">I")
_RECORD = struct.Struct(">II")


@dataclass(frozen=True)
class Spool:
    """The batches that could be read, in order. `damage` says what stopped the reading; empty when nothing did."""

    batches: tuple[pb.Batch, ...]
    damage: str = ""


def spool_path(job_folder: Path, run: int) -> Path:
    return job_folder / "spool" / f"run-{run}"


@edge("spool.write")
def write_spool(path: Path, job_id: str, run: int, batches: Iterable[pb.Batch]) -> None:
    """Durable when it returns. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = _partial(path)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        header = _header(job_id, run)
        file.write(header)
        checksum = zlib.crc32(header)
        for batch in batches:
            content = batch.SerializeToString()
            checksum = _continued(checksum, content)
            file.write(_RECORD.pack(len(content), checksum) + content)
        file.flush()
        os.fsync(descriptor)
    _publish(partial, path)


@edge("spool.discard")
def discard_unfinished(path: Path) -> None:
    """Removes what a writer that was killed had not finished. Raises OSError."""
    _partial(path).unlink(missing_ok=True)


@edge("spool.publish")
def _publish(partial: Path, path: Path) -> None:
    partial.replace(path)
    _sync_folder(path.parent)


def read_spool(path: Path, job_id: str, run: int) -> Spool:
    """An absent file is an empty spool. Raises OSError when it cannot be read."""
    header = _header(job_id, run)
    try:
        # A link or a pipe in its place must neither lead elsewhere nor hold the reader.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Spool(())
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Spool((), "it is not a file")
        first_line = file.readline(MAX_HEADER)
        if first_line != header:
            return Spool((), _other(first_line))
        return _read_records(file.read, zlib.crc32(header))


def _header(job_id: str, run: int) -> bytes:
    return f"milepost spool {PROTOCOL} {job_id} {run}\n".encode()


def _other(first_line: bytes) -> str:
    """What is wrong with it: `first_line` is not that of the spool of this run, as we write it."""
    found = re.match(rb"milepost spool (\d{1,9}) ", first_line)
    if found is not None and int(found[1]) != PROTOCOL:
        return f"a runner of another version of Milepost wrote it: its protocol is {int(found[1])}, this one {PROTOCOL}"
    return "it does not begin like the spool of this run"


def _continued(checksum: int, content: bytes) -> int:
    return zlib.crc32(content, zlib.crc32(_LENGTH.pack(len(content)), checksum))


def _read_records(read: Callable[[int], bytes], checksum: int) -> Spool:
    batches: list[pb.Batch] = []
    while head := read(_RECORD.size):
        number = len(batches) + 1
        if len(head) < _RECORD.size:
            return Spool(tuple(batches), f"record {number} is cut off")
        length, expected = _RECORD.unpack(head)
        if length > MAX_RECORD:
            return Spool(tuple(batches), f"record {number} claims {length} bytes")
        content = read(length)
        if len(content) < length:
            return Spool(tuple(batches), f"record {number} is cut off")
        checksum = _continued(checksum, content)
        if checksum != expected:
            return Spool(tuple(batches), f"record {number} has a wrong checksum")
        try:
            batches.append(pb.Batch.FromString(content))
        except DecodeError:
            return Spool(tuple(batches), f"record {number} is not a batch")
    return Spool(tuple(batches))


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


@edge("spool.sync_folder")
def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
