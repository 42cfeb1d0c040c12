"""The file in which a runner leaves the batches that it could not deliver: `<job folder>/spool/run-<N>`.

Format: the line `milepost spool 1`, then one record a batch: length of the content (4 bytes, big-endian), CRC-32 of the
content (4 bytes, big-endian), content (a serialized `milepost.v1.Batch`). The file is written under another name,
synced and renamed, so a spool that is there is whole unless the disk has damaged it. It is as untrusted as any report.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from milepost.v1 import runner_service_pb2 as pb

MAX_RECORD = 16 * 1024 * 1024

_HEADER = b"milepost spool 1\n"
_RECORD = struct.Struct(">II")


@dataclass(frozen=True)
class Spool:
    """The batches that could be read, in order. `damage` says what stopped the reading; empty when nothing did."""

    batches: tuple[pb.Batch, ...]
    damage: str = ""


def spool_path(job_folder: Path, run: int) -> Path:
    return job_folder / "spool" / f"run-{run}"


def write_spool(path: Path, batches: Iterable[pb.Batch]) -> None:
    """Durable when it returns. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_HEADER)
        for batch in batches:
            content = batch.SerializeToString()
            file.write(_RECORD.pack(len(content), zlib.crc32(content)) + content)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)
    _sync_folder(path.parent)


def read_spool(path: Path) -> Spool:
    """An absent file is an empty spool. Raises OSError when it cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(len(_HEADER)) != _HEADER:
                return Spool((), "it does not begin like a spool")
            return _read_records(file.read)
    except FileNotFoundError:
        return Spool(())


def _read_records(read: Callable[[int], bytes]) -> Spool:
    batches: list[pb.Batch] = []
    while head := read(_RECORD.size):
        number = len(batches) + 1
        if len(head) < _RECORD.size:
            return Spool(tuple(batches), f"record {number} is cut off")
        length, checksum = _RECORD.unpack(head)
        if length > MAX_RECORD:
            return Spool(tuple(batches), f"record {number} claims {length} bytes")
        content = read(length)
        if len(content) < length:
            return Spool(tuple(batches), f"record {number} is cut off")
        if zlib.crc32(content) != checksum:
            return Spool(tuple(batches), f"record {number} has a wrong checksum")
        try:
            batches.append(pb.Batch.FromString(content))
        except DecodeError:
            return Spool(tuple(batches), f"record {number} is not a batch")
    return Spool(tuple(batches))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
