"""Every state and every command, by real jobs: what `actions` say is what the RPC then does; a request counts once.

A job has four items: `item-000` fails for good, `item-001` succeeds, the other two wait at the gate.

In each state every command that is refused is tried, and one command of each effect; with `MILEPOST_CRASH_PROFILE` set
every command.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from milepost.common.wire.enums import COMMANDS
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Command, JobState
from milepost.core.transitions import TABLE, Effect
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.daemon import RealDaemon, counts_of, real_daemon, state_of

S, C, E = JobState, Command, Effect

FAILED, DONE = "item-000", "item-001"
EVERY_CELL = "MILEPOST_CRASH_PROFILE" in os.environ


@dataclass(frozen=True)
class Probe:
    """One job, told apart from all others by its effects file."""

    daemon: RealDaemon
    id: str
    effects_file: Path

    async def job(self) -> job_pb2.Job:
        return await self.daemon.job(self.id)

    def executions(self) -> Counter[str]:
        """How often each item was executed."""
        text = self.effects_file.read_text() if self.effects_file.exists() else ""
        pairs = [line.split(" ", 1) for line in text.splitlines()]
        return Counter(key for word, key in pairs if word == "work")

    async def wait_state(self, *states: JobState) -> job_pb2.Job:
        return await self.daemon.wait_state(self.id, *states)

    async def wait_at_gate(self, run: int = 1) -> job_pb2.Job:
        return await self.daemon.wait_for(
            self.id,
            lambda job: job.run_count == run and counts_of(job, "work").in_flight == 2 and job.counts.processed == 2,
            f"two are in flight in run {run}",
        )

    async def send(self, command: Command, **more: Any) -> Any:  # Any: the RPC's own fields, and its own answer
        """Raises what gRPC raises."""
        method, request = _call(self.daemon, command, self.id)
        for name, value in more.items():
            setattr(request, name, value)
        return await method(request, timeout=30)


def _call(daemon: RealDaemon, command: Command, job: str) -> tuple[Any, Any]:  # Any: the stubs' own types
    stub = daemon.client.jobs
    match command:
        case C.PAUSE | C.PAUSE_NOW:
            return stub.PauseJob, pb.PauseJobRequest(job=job, now=command is C.PAUSE_NOW)
        case C.RESUME:
            return stub.ResumeJob, pb.ResumeJobRequest(job=job)
        case C.RESTART:
            return stub.RestartJob, pb.RestartJobRequest(job=job)
        case C.RESTART_FROM_STEP:
            return stub.RestartJob, pb.RestartJobRequest(job=job, from_step="work")
        case C.RESTART_FROM_SCRATCH:
            return stub.RestartJob, pb.RestartJobRequest(job=job, from_scratch=True)
        case C.CANCEL:
            return stub.CancelJob, pb.CancelJobRequest(job=job)
        case C.FORCE_CANCEL:
            return stub.ForceCancelJob, pb.ForceCancelJobRequest(job=job)
        case C.RETRY:
            return stub.RetryTasks, pb.RetryTasksRequest(job=job)


class Jobs:
    """Makes jobs of one daemon, each in a queue of its own."""

    def __init__(self, daemon: RealDaemon) -> None:
        self.daemon = daemon
        self._number = 0

    async def submit(self, *, queue: str = "", failing: bool = True, open_items: int = 2, **more: Any) -> Probe:
        """`more`: fields of SubmitJobRequest."""
        self._number += 1
        file = self.daemon.folder / f"effects-{self._number}"
        parameters = {"count": 4, "open": open_items, "effects": str(file), "failing": [FAILED] if failing else []}
        job = await self.daemon.submit(parameters=parameters, queue=queue or f"own-{self._number}", **more)
        return Probe(self.daemon, job.id, file)

    async def at_gate(self, **more: Any) -> Probe:
        probe = await self.submit(**more)
        await probe.wait_at_gate()
        return probe

    async def paused(self, **more: Any) -> Probe:
        probe = await self.at_gate(**more)
        await probe.send(C.PAUSE_NOW)
        await probe.wait_state(S.PAUSED)
        return probe


# --- how jobs get into each state ---


async def scheduled(jobs: Jobs, number: int) -> list[Probe]:
    later = Timestamp(seconds=4_000_000_000)
    return [await jobs.submit(start_time=later) for _ in range(number)]


async def queued(jobs: Jobs, number: int) -> list[Probe]:
    """Behind a full queue, before their first run."""
    await jobs.at_gate(queue="full", failing=False)
    return [await jobs.submit(queue="full") for _ in range(number)]


async def queued_again(jobs: Jobs, number: int) -> list[Probe]:
    """Behind a full queue, with a checkpoint of an earlier run."""
    daemon = jobs.daemon
    daemon.settings["MILEPOST_QUEUES"] = f"full={number}"
    daemon.terminate()
    await daemon.start()
    probes = await _all(jobs.paused(queue="full") for _ in range(number))
    daemon.settings["MILEPOST_QUEUES"] = "full=1"
    daemon.terminate()
    await daemon.start()
    await jobs.at_gate(queue="full", failing=False)
    for probe in probes:
        await probe.send(C.RESUME)
    return probes


async def running(jobs: Jobs, number: int) -> list[Probe]:
    return await _all(jobs.at_gate() for _ in range(number))


async def _told(jobs: Jobs, number: int, command: Command) -> list[Probe]:
    probes = await running(jobs, number)
    for probe in probes:
        await probe.send(command)
    return probes


async def pausing(jobs: Jobs, number: int) -> list[Probe]:
    return await _told(jobs, number, C.PAUSE)


async def cancelling(jobs: Jobs, number: int) -> list[Probe]:
    return await _told(jobs, number, C.CANCEL)


async def paused(jobs: Jobs, number: int) -> list[Probe]:
    return await _told(jobs, number, C.PAUSE_NOW)


async def cancelled(jobs: Jobs, number: int) -> list[Probe]:
    return await _told(jobs, number, C.FORCE_CANCEL)


async def waiting(jobs: Jobs, number: int) -> list[Probe]:
    """For the copy of their input, which is no longer what was submitted."""
    rows = jobs.daemon.folder / "rows.csv"
    rows.write_text("key\na\n")
    probes = await _all(jobs.paused(input_path=str(rows)) for _ in range(number))
    for probe in probes:
        _copy_of_input(probe).write_text("key\nb\n")
        await probe.send(C.RESUME)
        waits = await probe.wait_state(S.WAITING)
        assert waits.reason.code == "INPUT_LOST"
    return probes


async def completed_with_failures(jobs: Jobs, number: int) -> list[Probe]:
    return [await jobs.submit(open_items=4) for _ in range(number)]


async def completed(jobs: Jobs, number: int) -> list[Probe]:
    return [await jobs.submit(open_items=4, failing=False) for _ in range(number)]


async def failed(jobs: Jobs, number: int) -> list[Probe]:
    """Their runner was lost, and they were told to hold then."""
    probes = await _all(jobs.at_gate(runner_lost_policy=job_pb2.RUNNER_LOST_POLICY_HOLD) for _ in range(number))
    for probe in probes:
        os.kill(jobs.daemon.runner_pid(probe.id), signal.SIGKILL)
    return probes


def _copy_of_input(probe: Probe) -> Path:
    return probe.daemon.state / "jobs" / probe.id / "input"


async def _all(work: Any) -> list[Probe]:  # Any: an iterator of coroutines
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]


Bring = Callable[[Jobs, int], Awaitable[list[Probe]]]

CASES: dict[str, tuple[JobState, Bring]] = {
    "SCHEDULED": (S.SCHEDULED, scheduled),
    "QUEUED": (S.QUEUED, queued),
    "QUEUED again": (S.QUEUED, queued_again),
    "RUNNING": (S.RUNNING, running),
    "PAUSING": (S.PAUSING, pausing),
    "PAUSED": (S.PAUSED, paused),
    "CANCELLING": (S.CANCELLING, cancelling),
    "CANCELLED": (S.CANCELLED, cancelled),
    "WAITING": (S.WAITING, waiting),
    "COMPLETED with failures": (S.COMPLETED, completed_with_failures),
    "COMPLETED": (S.COMPLETED, completed),
    "FAILED": (S.FAILED, failed),
}


def test_every_state_is_here() -> None:
    assert {state for state, _ in CASES.values()} == set(JobState)


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    settings = {"MILEPOST_MAX_RUNNING_JOBS": "100", "MILEPOST_QUEUES": "full=1"}
    async with real_daemon(**settings) as daemon:
        yield Jobs(daemon)


@pytest.mark.parametrize("case", [case for case in CASES if EVERY_CELL or case != "QUEUED again"])
async def test_what_actions_say_is_what_the_command_does(jobs: Jobs, case: str) -> None:
    state, bring = CASES[case]
    ran = state is not S.SCHEDULED and case != "QUEUED"
    some_failed = ran and case != "COMPLETED"
    allowed = _allowed(state)
    if not some_failed:
        allowed.pop(C.RETRY, None)
    tried = allowed if EVERY_CELL else _one_of_each(allowed, state)

    first, *others = await bring(jobs, 1 + len(tried))
    for probe in (first, *others):
        actions = _actions(await probe.wait_state(state))
        assert list(actions) == list(Command)
        assert {command for command, action in actions.items() if action.allowed} == set(allowed)
    for command in Command:
        if command not in allowed:
            await _assert_refused(first, command)
    carried_out = []
    for (command, effect), probe in zip(tried.items(), others, strict=True):
        carried_out.append(await _carry_out(probe, state, command, effect))
    for cell in carried_out:
        await _assert_before_gate(cell)
    jobs.daemon.gate.touch()
    for cell in carried_out:
        await _assert_after_gate(cell)


def _allowed(state: JobState) -> dict[Command, Effect]:
    return {command: rule for command in Command if isinstance(rule := TABLE[state, command], Effect)}


def _one_of_each(allowed: dict[Command, Effect], state: JobState) -> dict[Command, Effect]:
    """A command for each effect: where several have it, the first in every second state and the last in the others."""
    in_turn = list(allowed) if list(JobState).index(state) % 2 else list(reversed(allowed))
    by_effect = {allowed[command]: command for command in in_turn}
    return {command: effect for effect, command in by_effect.items()}


def test_every_command_is_tried_somewhere() -> None:
    assert {command for state in JobState for command in _one_of_each(_allowed(state), state)} == set(Command)


def _actions(job: job_pb2.Job) -> dict[Command, job_pb2.Action]:
    names = {number: command for command, number in COMMANDS.items()}
    return {names[action.command]: action for action in job.actions}


async def _assert_refused(
    probe: Probe, command: Command, status: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION
) -> None:
    before = await probe.job()
    refusal = _actions(before)[command].refusal
    assert refusal.message
    assert refusal.remedy
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await probe.send(command)
    assert refused.value.code() is status
    info = _error_info(refused.value)
    assert (info.domain, info.reason) == ("milepost", refusal.code)
    assert info.metadata["message"] == refusal.message
    assert info.metadata["remedy"] == refusal.remedy
    assert refused.value.details() == f"{refusal.message} {refusal.remedy}"
    if refusal.code == Code.NOT_ALLOWED:
        assert info.metadata["state"] == state_of(before)
    assert _without_clocks(await probe.job()) == _without_clocks(before)


def _error_info(error: grpc.aio.AioRpcError) -> ErrorInfo:
    status = rpc_status.from_call(error)
    [info] = [detail for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR)]
    found = ErrorInfo()
    assert info.Unpack(found)
    return found


def _without_clocks(job: job_pb2.Job) -> job_pb2.Job:
    """Time goes on in it, whatever is asked."""
    still = job_pb2.Job()
    still.CopyFrom(job)
    for part in (still, *still.steps):
        part.ClearField("progress")
    return still


# --- what each effect must be seen to do ---

#: effect -> (state that the command's own transaction leads to, or None: where it was;
#:            states while the gate is shut; state when it has been opened)
OUTCOMES: dict[Effect, tuple[JobState | None, JobState, JobState]] = {
    E.HOLD: (S.PAUSED, S.PAUSED, S.PAUSED),
    E.STOP_TO_PAUSE: (S.PAUSING, S.PAUSING, S.PAUSED),
    E.STOP_TO_PAUSE_NOW: (S.PAUSING, S.PAUSED, S.PAUSED),
    E.REVOKE_PAUSE: (S.RUNNING, S.RUNNING, S.COMPLETED),
    E.ENQUEUE: (S.QUEUED, S.RUNNING, S.COMPLETED),
    E.STOP_TO_RESTART: (S.RUNNING, S.RUNNING, S.COMPLETED),
    E.STOP_TO_REWIND: (S.RUNNING, S.RUNNING, S.COMPLETED),
    E.REWIND: (S.QUEUED, S.RUNNING, S.COMPLETED),
    E.CANCEL_AT_ONCE: (S.CANCELLED, S.CANCELLED, S.CANCELLED),
    E.STOP_TO_CANCEL: (S.CANCELLING, S.CANCELLING, S.CANCELLED),
    E.STOP_TO_FORCE_CANCEL: (S.CANCELLING, S.CANCELLED, S.CANCELLED),
    E.RETRY_AND_ENQUEUE: (S.QUEUED, S.RUNNING, S.COMPLETED),
}
NEW_RUN = {E.ENQUEUE, E.STOP_TO_RESTART, E.STOP_TO_REWIND, E.REWIND, E.RETRY_AND_ENQUEUE}


@dataclass(frozen=True)
class Cell:
    probe: Probe
    state: JobState
    command: Command
    effect: Effect
    before: job_pb2.Job
    executions_before: Counter[str]

    @property
    def outcome(self) -> tuple[JobState, JobState, JobState]:
        if self.effect is E.RETRY_IN_PLACE:
            return self.state, self.state, S.PAUSED if self.state is S.PAUSED else S.COMPLETED
        told, shut, opened = OUTCOMES[self.effect]
        if self.state is S.QUEUED and self.effect is E.REWIND:
            shut = S.QUEUED
        if self.state is S.COMPLETED and shut is S.RUNNING:
            shut = S.COMPLETED  # its items never wait at the gate
        return told or self.state, shut, opened


async def _carry_out(probe: Probe, state: JobState, command: Command, effect: Effect) -> Cell:
    if state is S.WAITING:
        _copy_of_input(probe).write_text("key\na\n")
    cell = Cell(probe, state, command, effect, await probe.job(), probe.executions())
    answer = await probe.send(command)
    assert answer.job.id == probe.id
    assert answer.message
    if command is C.RETRY:
        assert answer.retried == 1
    return cell


async def _assert_before_gate(cell: Cell) -> None:
    told, shut, _ = cell.outcome
    [event] = [one for one in await cell.probe.daemon.events(cell.probe.id) if one.kind == f"{cell.command}_REQUESTED"][
        -1:
    ]
    assert (event.from_state, event.to_state) == (cell.before.state, job_pb2.JobState.Value(f"JOB_STATE_{told}"))
    runs = cell.before.run_count + (cell.effect in NEW_RUN and shut is not S.QUEUED)
    await cell.probe.daemon.wait_for(
        cell.probe.id,
        lambda job: state_of(job) is shut and job.run_count == runs,
        f"{cell.command} in {cell.state} leads to {shut}, with run {runs}",
    )
    if shut is S.RUNNING:
        await cell.probe.wait_at_gate(runs)
    if not runs and shut is S.PAUSED:
        assert not cell.probe.executions()


async def _assert_after_gate(cell: Cell) -> None:
    _, _, opened = cell.outcome
    job = await cell.probe.wait_state(opened)
    again = cell.probe.executions() - cell.executions_before
    is_rewind = cell.effect in (E.REWIND, E.STOP_TO_REWIND)
    expected = Counter({FAILED: 1, DONE: 1} if is_rewind else {FAILED: 1} if cell.command is C.RETRY else {})
    if opened is not S.COMPLETED:
        expected = Counter()  # it waits for a resume
    assert {key: again[key] for key in (FAILED, DONE)} == {key: expected[key] for key in (FAILED, DONE)}, cell
    if opened is S.COMPLETED:
        assert (job.counts.processed, job.counts.total) == (4, 4)
    if cell.command is C.RETRY and opened is S.PAUSED:
        assert job.counts.failed == 0


# --- refusals that come from elsewhere than the job's state ---


async def test_a_job_that_would_double_another(jobs: Jobs) -> None:
    probe = await jobs.at_gate(uniqueness_key="nightly")
    await probe.send(C.FORCE_CANCEL)
    await probe.wait_state(S.CANCELLED)
    other = await jobs.at_gate(uniqueness_key="nightly")
    actions = _actions(await probe.job())
    for command in (C.RESUME, C.RESTART_FROM_STEP, C.RESTART_FROM_SCRATCH, C.RETRY):
        assert actions[command].refusal.code == Code.DUPLICATE_JOB
        assert other.id in actions[command].refusal.remedy
        await _assert_refused(probe, command, grpc.StatusCode.ALREADY_EXISTS)
    await other.send(C.FORCE_CANCEL)
    await other.wait_state(S.CANCELLED)
    assert _actions(await probe.job())[C.RESUME].allowed
    await probe.send(C.RESUME)
    await probe.wait_at_gate(2)


async def test_a_sentinel_file_for_all(jobs: Jobs) -> None:
    probe = await jobs.paused()
    sentinel = jobs.daemon.state / "PAUSE"
    sentinel.touch()
    actions = _actions(await probe.job())
    for command in (C.RESUME, C.RESTART_FROM_STEP, C.RESTART_FROM_SCRATCH):
        assert actions[command].refusal.code == Code.PAUSE_FILE
        assert str(sentinel) in actions[command].refusal.message
        await _assert_refused(probe, command)
    sentinel.unlink()
    assert _actions(await probe.job())[C.RESUME].allowed
    await probe.send(C.RESUME)
    await probe.wait_at_gate(2)


# --- one request, one effect ---

BROUGHT_FOR: dict[Command, tuple[JobState, Bring]] = {
    C.PAUSE: (S.RUNNING, running),
    C.PAUSE_NOW: (S.RUNNING, running),
    C.RESUME: (S.PAUSED, paused),
    C.RESTART: (S.RUNNING, running),
    C.RESTART_FROM_STEP: (S.PAUSED, paused),
    C.RESTART_FROM_SCRATCH: (S.COMPLETED, completed_with_failures),
    C.CANCEL: (S.RUNNING, running),
    C.FORCE_CANCEL: (S.RUNNING, running),
    C.RETRY: (S.COMPLETED, completed_with_failures),
}


@dataclass(frozen=True)
class SameRequest:
    """One command, sent again and again to a job of its own."""

    command: Command
    probe: Probe
    kinds_before: Counter[str]

    async def send(self) -> Any:  # Any: the RPC's own answer
        return await self.probe.send(self.command, request_id=f"same-{self.command}")

    async def assert_one_effect(self, answers: list[Any]) -> None:
        assert {answer.job.id for answer in answers} == {self.probe.id}, self.command
        assert len({getattr(answer, "retried", 0) for answer in answers}) == 1, self.command
        if self.command not in (C.PAUSE, C.PAUSE_NOW):  # these tell how many tasks are still in flight
            assert len({answer.message for answer in answers}) == 1, self.command
        await _assert_reused(self.probe, self.command, f"same-{self.command}")
        after = Counter(event.kind for event in await self.probe.daemon.events(self.probe.id))
        commands = [kind for kind in (after - self.kinds_before).elements() if kind.endswith("_REQUESTED")]
        assert commands == [f"{self.command}_REQUESTED"]


async def test_the_same_request_has_one_effect(jobs: Jobs) -> None:
    assert list(BROUGHT_FOR) == list(Command)
    requests = []
    for command, (state, bring) in BROUGHT_FOR.items():
        [probe] = await bring(jobs, 1)
        await probe.wait_state(state)
        kinds = Counter(event.kind for event in await jobs.daemon.events(probe.id))
        requests.append(SameRequest(command, probe, kinds))
    answers = [list(await asyncio.gather(*(request.send() for _ in range(3)))) for request in requests]
    jobs.daemon.kill()
    await jobs.daemon.start()
    await requests[0].probe.job()  # the connection is there again: `send` tries once
    for request, told in zip(requests, answers, strict=True):
        await request.assert_one_effect([*told, await request.send()])


async def _assert_reused(probe: Probe, command: Command, request_id: str) -> None:
    """Neither the same command on another job nor another command on this one goes under this id."""
    other = C.RESUME if command is C.CANCEL else C.CANCEL
    for asked, job in ((command, "j-22222222"), (other, probe.id)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await replace(probe, id=job).send(asked, request_id=request_id)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        info = _error_info(refused.value)
        assert info.reason == Code.REQUEST_ID_REUSED
        assert info.metadata["remedy"]


async def test_the_same_submit_makes_one_job(jobs: Jobs) -> None:
    daemon = jobs.daemon

    async def submit(**more: Any) -> job_pb2.Job:  # Any: fields of SubmitJobRequest
        return await daemon.submit(parameters={"count": 1}, request_id="one", allow_duplicate=True, **more)

    made = list(await asyncio.gather(*(submit() for _ in range(3))))
    daemon.kill()
    await daemon.start()
    made.append(await submit())
    assert len({job.id for job in made}) == 1
    with pytest.raises(MilepostError) as refused:
        await submit(name="another")
    assert refused.value.code is Code.REQUEST_ID_REUSED
    listed = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest())
    assert [job.id for job in listed.jobs] == [made[0].id]
    assert [folder.name for folder in (daemon.state / "jobs").iterdir()] == [made[0].id]
