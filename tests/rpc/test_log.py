"""The log of a job: every line once, in order, over all its runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from milepost.daemon.rpc import log_tail
from milepost.v1 import job_service_pb2 as pb
from tests.support.in_process import InProcessDaemon


async def _nothing_comes() -> bool:
    return False


async def _lines(folder: Path, lines: int = 0) -> list[str]:
    stream = log_tail.tail(folder, lines, follow=False, may_grow=_nothing_comes)
    return [line async for found in stream for line in found]


async def test_runs_follow_each_other_by_number(tmp_path: Path) -> None:
    for run in (10, 9, 1):
        (tmp_path / f"run-{run}.log").write_text(f"{run} a\n{run} b\n")
    (tmp_path / "run-2.log").write_text("")
    (tmp_path / "other.txt").write_text("no\n")
    assert await _lines(tmp_path) == ["1 a", "1 b", "9 a", "9 b", "10 a", "10 b"]
    assert await _lines(tmp_path, 3) == ["9 b", "10 a", "10 b"]
    assert await _lines(tmp_path, 100) == ["1 a", "1 b", "9 a", "9 b", "10 a", "10 b"]


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
async def test_an_unfinished_last_line_is_a_line(tmp_path: Path, wanted: int) -> None:
    (tmp_path / "run-1.log").write_text("a\n\nb")
    assert await _lines(tmp_path, wanted) == ["a", "", "b"][-wanted:]


async def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    (tmp_path / "run-1.log").write_bytes("50 %\r100 %\n\u2028x\x0cy\n".encode() + b"\xff\n")
    assert await _lines(tmp_path) == ["50 %\r100 %", "\u2028x\x0cy", "\ufffd"]


async def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    lines = [f"{number} {'x' * 50}" for number in range(20_000)]
    (tmp_path / "run-1.log").write_text("\n".join(lines) + "\n")
    assert await _lines(tmp_path, 12_345) == lines[-12_345:]
    assert await _lines(tmp_path) == lines


async def test_a_line_without_end_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "run-1.log").write_text("x" * 1_000_000)
    pieces = await _lines(tmp_path)
    assert len(pieces) > 1
    assert "".join(pieces) == "x" * 1_000_000


async def test_no_log_yet(tmp_path: Path) -> None:
    assert await _lines(tmp_path / "none") == []


async def test_following_holds_back_half_a_line_and_goes_on_with_the_next_run(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    log.write_text("one\nhal")
    grows = True

    async def may_grow() -> bool:
        return grows

    stream = log_tail.tail(tmp_path, 0, follow=True, may_grow=may_grow)

    async def more() -> list[str]:
        async with asyncio.timeout(10):
            return await anext(stream)

    assert await more() == ["one"]
    with log.open("a") as file:
        file.write("f\nrest")
    assert await more() == ["half"]
    (tmp_path / "run-2.log").write_text("two\nend")
    assert await more() == ["rest"]
    assert await more() == ["two"]
    grows = False
    assert await more() == ["end"]
    with pytest.raises(StopAsyncIteration):
        await more()


async def test_the_stream_of_a_job(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaa2")
    logs = daemon.folder / "jobs" / job.id / "logs"
    logs.mkdir(parents=True)
    (logs / "run-1.log").write_text("a\nb\nc\n")

    def tail(**values: Any) -> AsyncIterator[pb.TailLogResponse]:
        return aiter(daemon.client.jobs.TailLog(pb.TailLogRequest(job=job.id, **values)))

    async def lines(stream: AsyncIterator[pb.TailLogResponse]) -> list[str]:
        return [line async for answer in stream for line in answer.lines]

    assert await lines(tail()) == ["a", "b", "c"]
    assert await lines(tail(lines=2)) == ["b", "c"]
    stream = tail(follow=True)
    first = await anext(stream)
    await daemon.client.call(daemon.client.jobs.CancelJob, pb.CancelJobRequest(job=job.id))
    assert [*first.lines, *await lines(stream)] == ["a", "b", "c"]
