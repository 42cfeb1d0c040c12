"""The stream between runner and daemon: broken, refused, away for long."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from milepost.common.spool import read_spool, spool_path
from milepost.common.wire.runner import PROTOCOL
from milepost.v1 import runner_service_pb2 as pb
from tests.processes.test_runner_commands import items, prepare
from tests.support.fake_daemon import DEADLINE, FakeDaemon, RunnerProcess, reports_of
from tests.support.runner_fixtures import Start, daemon, folder, start_runner

__all__ = ["daemon", "folder", "start_runner"]

#: Says that it began, waits for the gate, says that it has ended.
GATED = ("sh", "-c", 'echo "$1" >> began; read _ < gate; echo "$1" >> effects', "sh", "{}")


class Gate:
    """Lets gated commands through, one a line."""

    def __init__(self, folder: Path) -> None:
        os.mkfifo(folder / "gate")
        self._descriptor = os.open(folder / "gate", os.O_RDWR)

    def open(self, count: int) -> None:
        os.write(self._descriptor, b"\n" * count)

    def close(self) -> None:
        os.close(self._descriptor)


async def wait_until(condition: Callable[[], object]) -> None:
    """For what the runner tells nobody, only leaves in files."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def one_of_two_unacknowledged(daemon: FakeDaemon, gate: Gate, start_runner: Start, count: int) -> RunnerProcess:
    """A runner of so many gated items, two at a time, that has reported one and got no acknowledgement of it."""
    prepare(daemon, *GATED, concurrency=2)
    daemon.acknowledges = False
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(count))
    gate.open(1)
    await daemon.until(lambda: len(daemon.reports) == 1)
    return runner


async def test_unacknowledged_batches_travel_again_to_a_new_daemon(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    gate = Gate(folder)
    runner = await one_of_two_unacknowledged(daemon, gate, start_runner, 6)
    unacknowledged = daemon.batches[1]
    await daemon.stop()
    gate.open(2)  # these end while there is no daemon
    await wait_until(lambda: len(lines(folder / "effects")) == 3)
    await daemon.start()
    await daemon.until(lambda: len(daemon.hellos) == 2)
    assert {ref.item for ref in daemon.hellos[1].held} == {10, 11, 12, 13, 14, 15}
    await daemon.until(lambda: daemon.received[1:])
    assert daemon.received[:2] == [1, 1]
    assert daemon.batches[1] == unacknowledged
    daemon.acknowledges = True
    daemon.send(ack=pb.Ack(sequence=max(daemon.received)))
    gate.open(3)
    await daemon.until(lambda: len(daemon.reports) == 6)
    daemon.desire(pb.DESIRED_STATE_RUN, finished=True)
    assert await runner.ended() == 0
    gate.close()
    assert sorted(report.task.item for report in daemon.reports) == [10, 11, 12, 13, 14, 15]
    assert len(lines(folder / "effects")) == 6


async def test_a_daemon_away_past_the_lease_finds_the_spool(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    gate = Gate(folder)
    prepare(daemon, *GATED, concurrency=2)
    daemon.welcome.lease_seconds = 0.2
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(6))
    await wait_until(lambda: len(lines(folder / "began")) == 2)
    await daemon.stop()
    await wait_until(lambda: "The daemon has been away" in runner.log.read_text())
    gate.open(6)
    assert await runner.ended() == 0
    gate.close()
    spool = read_spool(spool_path(folder, 1), "j-aaaaaaaa", 1)
    reports = [report for batch in spool.batches for report in reports_of(batch)]
    assert {(report.task.item, report.kind) for report in reports} == {
        (10, pb.REPORT_KIND_SUCCEEDED),
        (11, pb.REPORT_KIND_SUCCEEDED),
    }
    assert sorted(lines(folder / "effects")) == ["item-0", "item-1"]


async def test_a_runner_that_is_refused_ends_and_leaves_nothing(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(daemon, "sleep")
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(3, "600"))
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 3)
    await daemon.stop()
    refusing = RefusingDaemon(daemon.socket, daemon.welcome)
    await refusing.start()
    assert await runner.ended() == 4
    await refusing.stop()
    assert "not this run" in runner.log.read_text()
    assert not spool_path(folder, 1).exists()


async def test_a_daemon_of_another_protocol_gets_no_work_done_and_is_told_why(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(daemon, *GATED)
    daemon.welcome.protocol = 0  # that of a daemon that knows no number
    daemon.hand_out(items(1))
    runner = start_runner()
    assert await runner.ended() == 4
    assert daemon.hellos[0].protocol == PROTOCOL
    assert f"the daemon speaks protocol 0, this runner {PROTOCOL}" in runner.log.read_text()
    mistake = json.loads((folder / "logs" / "run-1.mistake.json").read_text())
    assert "different versions of Milepost" in mistake["message"]
    assert "milepost daemon restart" in mistake["remedy"]
    assert lines(folder / "began") == []


async def test_a_run_that_meets_a_daemon_of_another_protocol_ends_and_says_nothing_to_it(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    gate = Gate(folder)
    runner = await one_of_two_unacknowledged(daemon, gate, start_runner, 2)
    await daemon.stop()
    daemon.welcome.protocol = PROTOCOL + 1
    received = len(daemon.received)
    await daemon.start()
    assert await runner.ended() == 4
    gate.close()
    assert len(daemon.received) == received
    assert not (folder / "logs" / "run-1.mistake.json").exists(), "its job can go on with a runner of that version"
    assert not spool_path(folder, 1).exists()


class RefusingDaemon(FakeDaemon):
    async def Attach(  # noqa: N802 (the name of the RPC)
        self, _request_iterator: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachResponse]:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not this run")
        yield pb.AttachResponse()


class BreakingDaemon(FakeDaemon):
    """Welcomes a runner, and ends the stream at its first word after that."""

    def __init__(self, socket: Path, welcome: pb.Welcome, status: grpc.StatusCode, times: int) -> None:
        super().__init__(socket, welcome)
        self.status = status
        self.times = times

    async def Attach(  # noqa: N802 (the name of the RPC)
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachResponse]:
        if len(self.hellos) == self.times:
            async for response in super().Attach(request_iterator, context):
                yield response
        self._hear(await anext(request_iterator))
        yield pb.AttachResponse(welcome=self.welcome)
        await anext(request_iterator)
        await context.abort(self.status, "the stream is broken")


async def test_streams_that_break_again_and_again_are_not_attached_at_once(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(daemon, "true")
    await daemon.stop()
    breaking = BreakingDaemon(daemon.socket, daemon.welcome, grpc.StatusCode.INTERNAL, times=6)
    await breaking.start()
    begun = time.monotonic()
    runner = start_runner()
    await breaking.until(lambda: len(breaking.hellos) == 7)
    # The pauses add up to this at least, whatever the machine does.
    assert time.monotonic() - begun > 1.5
    breaking.desire(pb.DESIRED_STATE_RUN, finished=True)
    assert await runner.ended() == 0
    await breaking.stop()


async def test_a_runner_whose_words_are_refused_ends(daemon: FakeDaemon, start_runner: Start) -> None:
    prepare(daemon, "true")
    await daemon.stop()
    breaking = BreakingDaemon(daemon.socket, daemon.welcome, grpc.StatusCode.INVALID_ARGUMENT, times=1000)
    await breaking.start()
    runner = start_runner()
    assert await runner.ended() == 4
    await breaking.stop()
    # gRPC may tell a refusal that crosses a write as a lost link: then the next hello is refused.
    assert len(breaking.hellos) < 5


async def test_sigterm_holds_and_a_second_one_stops(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    gate = Gate(folder)
    prepare(daemon, *GATED, concurrency=2)
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(6))
    await wait_until(lambda: len(lines(folder / "began")) == 2)
    runner.process.send_signal(signal.SIGINT)  # is nothing to a runner
    runner.process.send_signal(signal.SIGTERM)
    await daemon.until(lambda: daemon.heartbeats[-1].holding)
    gate.open(1)
    await daemon.until(lambda: daemon.reports)
    runner.process.send_signal(signal.SIGTERM)
    assert await runner.ended() == 0
    gate.close()
    assert [report.kind for report in daemon.reports] == [pb.REPORT_KIND_SUCCEEDED, pb.REPORT_KIND_RETURNED]
    assert len(lines(folder / "began")) == 2
