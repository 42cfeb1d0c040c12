"""The spool: what is read is what was written, and damage is told, not guessed over."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.common.spool import discard_unfinished, read_spool, spool_path, write_spool
from milepost.common.wire.runner import PROTOCOL
from milepost.v1 import runner_service_pb2 as pb

JOB = "j-aaaaaaaa"
BATCHES = [
    pb.Batch(sequence=7, reports=[pb.Report(task=pb.TaskRef(step=1, item=2), result_json='{"ünïcode":1}')]),
    pb.Batch(sequence=8, saved=[pb.SavedState(task=pb.TaskRef(step=1, item=3), state_json="[]")]),
]
HEADER = 30  # bytes
SECOND = HEADER + 8 + BATCHES[0].ByteSize()


def written(folder: Path) -> Path:
    path = spool_path(folder, 3)
    write_spool(path, JOB, 3, BATCHES)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    spool = read_spool(path, JOB, 3)
    assert list(spool.batches) == BATCHES
    assert spool.damage == ""
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["run-3"]


def test_what_a_killed_writer_left_is_removed_and_the_whole_one_stays(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.with_name("run-3.partial").write_bytes(b"milepost sp")
    discard_unfinished(path)
    discard_unfinished(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["run-3"]


def test_an_absent_spool_is_empty(tmp_path: Path) -> None:
    assert read_spool(spool_path(tmp_path, 1), JOB, 1).batches == ()


@pytest.mark.parametrize("protocol", [2, PROTOCOL + 1])
def test_what_a_runner_of_another_protocol_wrote_is_not_read(tmp_path: Path, protocol: int) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(f"spool {PROTOCOL} ".encode(), f"spool {protocol} ".encode(), 1))
    spool = read_spool(path, JOB, 3)
    assert spool.batches == ()
    assert spool.damage == (
        f"a runner of another version of Milepost wrote it: its protocol is {protocol}, this one {PROTOCOL}"
    )


@pytest.mark.parametrize(
    ("alter", "intact", "damage"),
    [
        pytest.param(lambda whole: whole[:-1], 1, "record 2 is cut off", id="truncated"),
        pytest.param(lambda whole: whole[: HEADER + 4], 0, "record 1 is cut off", id="truncated in the head"),
        pytest.param(lambda whole: whole[:-1] + b"\xee", 1, "record 2 has a wrong checksum", id="last byte"),
        pytest.param(
            lambda whole: whole + b"\xff\xff\xff\xff\0\0\0\0", 2, "record 3 claims 4294967295 bytes", id="huge length"
        ),
        pytest.param(lambda whole: whole + b"\0\0\0\x01\xff\0\0\0", 2, "record 3 is cut off", id="half a head"),
        pytest.param(lambda whole: whole + b"\0" * 4096, 2, "record 3 has a wrong checksum", id="zeros"),
        pytest.param(lambda whole: whole[5:], 0, "it does not begin like the spool of this run", id="garbage"),
        pytest.param(
            lambda whole: whole[:SECOND] + whole[HEADER:], 1, "record 2 has a wrong checksum", id="first one doubled"
        ),
        pytest.param(lambda whole: whole + whole[SECOND:], 2, "record 3 has a wrong checksum", id="last one doubled"),
        pytest.param(
            lambda whole: whole[:HEADER] + whole[SECOND:], 0, "record 1 has a wrong checksum", id="first one missing"
        ),
        pytest.param(
            lambda whole: whole[:HEADER] + whole[SECOND:] + whole[HEADER:SECOND],
            0,
            "record 1 has a wrong checksum",
            id="other order",
        ),
    ],
)
def test_damage_ends_the_reading(tmp_path: Path, alter: Callable[[bytes], bytes], intact: int, damage: str) -> None:
    path = written(tmp_path)
    path.write_bytes(alter(path.read_bytes()))
    spool = read_spool(path, JOB, 3)
    assert list(spool.batches) == BATCHES[:intact]
    assert spool.damage == damage


def test_no_byte_can_change_unseen(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        spool = read_spool(path, JOB, 3)
        assert spool.damage
        assert list(spool.batches) == BATCHES[: len(spool.batches)]


@pytest.mark.parametrize(("job", "run"), [("j-bbbbbbbb", 3), (JOB, 4)])
def test_the_spool_of_another_run_is_refused(tmp_path: Path, job: str, run: int) -> None:
    spool = read_spool(written(tmp_path), job, run)
    assert (spool.batches, spool.damage) == ((), "it does not begin like the spool of this run")


def test_a_link_is_not_followed_and_a_pipe_does_not_hold_the_reader(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    with pytest.raises(OSError, match=re.escape(str(path))):
        read_spool(path, JOB, 3)
    path.unlink()
    os.mkfifo(path)
    assert read_spool(path, JOB, 3).damage == "it is not a file"
