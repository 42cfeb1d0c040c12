"""The spool: what is read is what was written, and damage is told, not guessed over."""

from pathlib import Path

import pytest

from milepost.common.spool import read_spool, spool_path, write_spool
from milepost.v1 import runner_service_pb2 as pb

BATCHES = [
    pb.Batch(sequence=7, reports=[pb.Report(task=pb.TaskRef(step=1, item=2), result_json='{"ünïcode":1}')]),
    pb.Batch(sequence=8, saved=[pb.SavedState(task=pb.TaskRef(step=1, item=3), state_json="[]")]),
]


def written(folder: Path) -> Path:
    path = spool_path(folder, 3)
    write_spool(path, BATCHES)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    spool = read_spool(path)
    assert list(spool.batches) == BATCHES
    assert spool.damage == ""
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["run-3"]


def test_an_absent_spool_is_empty(tmp_path: Path) -> None:
    assert read_spool(spool_path(tmp_path, 1)).batches == ()


@pytest.mark.parametrize(
    ("keep", "change", "intact", "damage"),
    [
        (-1, b"", 1, "record 2 is cut off"),
        (17 + 4, b"", 0, "record 1 is cut off"),
        (-1, b"\xee", 1, "record 2 has a wrong checksum"),
        (None, b"\xff\xff\xff\xff\0\0\0\0", 2, "record 3 claims 4294967295 bytes"),
        (None, b"\0\0\0\x01\xff\x00\x00\x00", 2, "record 3 is cut off"),
        (0, b"something else", 0, "it does not begin like a spool"),
    ],
)
def test_damage_ends_the_reading(tmp_path: Path, keep: int | None, change: bytes, intact: int, damage: str) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep] + change)
    spool = read_spool(path)
    assert list(spool.batches) == BATCHES[:intact]
    assert spool.damage == damage
