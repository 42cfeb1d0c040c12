"""A job's document: counts that add up, progress that promises nothing it does not know, actions that hold."""

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from milepost.common.wire import enums
from milepost.common.wire.times import duration, timestamp, unix_seconds
from milepost.core.definition import command_pipeline
from milepost.core.errors import Code, MilepostError
from milepost.core.findings import Finding
from milepost.core.model import Command, FindingKind, InputFile, JobState, Reason, ReportKind, RunEnd, StepCounts, Stop
from milepost.core.progress import Sample
from milepost.daemon.live import IDLE, Live, RunningTask
from milepost.daemon.snapshot import Snapshots, Surroundings
from milepost.daemon.store import jobs, runs
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon

_NOTHING_ELSE = Surroundings({}, {}, {})


@pytest.mark.parametrize(
    ("table", "wire_enum"),
    [
        (enums.JOB_STATES, job_pb2.JobState),
        (enums.COMMANDS, job_pb2.Command),
        (enums.OUTCOMES, job_pb2.Outcome),
        (enums.ITEM_STATES, job_pb2.ItemState),
        (enums.RUNNER_LOST_POLICIES, job_pb2.RunnerLostPolicy),
    ],
)
def test_every_value_of_an_enum_has_its_partner(table: dict[JobState, int], wire_enum: type[job_pb2.JobState]) -> None:
    assert sorted(table.values()) == sorted(number for number in wire_enum.values() if number != 0)
    for value, number in table.items():
        assert enums.from_proto(table, number, "field") is value
    for unknown in (0, 99):
        with pytest.raises(MilepostError) as caught:
            enums.from_proto(table, unknown, "field")
        assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("seconds", [0.0, 0.000001, 1_700_000_000.123456, 1_700_000_000.999999])
def test_times_keep_their_microseconds(seconds: float) -> None:
    moment, span = timestamp(seconds), duration(seconds)
    assert moment is not None
    assert unix_seconds(moment) == pytest.approx(seconds, abs=1e-6)
    assert span is not None
    assert span.ToMicroseconds() == round(seconds * 1e6)
    assert timestamp(None) is None


def _add_up(counts: job_pb2.Counts) -> bool:
    parts = counts.succeeded, counts.failed, counts.skipped, counts.upstream, counts.in_flight, counts.pending
    return sum(parts) == counts.total and counts.processed == sum(parts[:3])


async def test_counts_of_every_step_add_up(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", factories.creators(attempts=1), state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, list("abcdef"))
    daemon.live[job.id] = Live(
        in_flight={1: 1, 2: 1},
        tasks=(RunningTask(1, 5, "e", 1, factories.NOW), RunningTask(2, 2, "b", 2, factories.NOW)),
    )
    await daemon.report(job, factories.succeeded(1, 1), factories.succeeded(1, 2), factories.failed(1, 3))
    await daemon.report(
        job, factories.succeeded(2, 1, label="added"), factories.report(ReportKind.SKIPPED, 1, 4, label="filtered")
    )
    document = await daemon.job(job.id)
    assert all(_add_up(step.counts) for step in document.steps)
    assert _add_up(document.counts)
    assert (document.counts.total, document.counts.processed, document.counts.in_flight) == (6, 3, 2)
    assert sum(outcome.count for outcome in document.outcomes) == document.counts.processed
    assert [(task.step, task.item_key, task.attempt) for task in document.in_flight] == [
        ("fetch", "e", 1),
        ("score", "b", 2),
    ]
    fetch, score = document.steps[1], document.steps[2]
    assert (fetch.counts.total, fetch.counts.in_flight, fetch.counts.pending) == (6, 1, 1)
    assert (score.counts.upstream, score.counts.in_flight) == (2, 1)


async def test_one_item_steps_count_as_steps(daemon: InProcessDaemon) -> None:
    definition = factories.pipeline(*(factories.step(f"s{number}") for number in range(8)))
    job = await daemon.insert("j-aaaaaaaa", definition, state=JobState.RUNNING, queue_time=None)
    for step in range(3):
        await daemon.report(job, factories.succeeded(step, 0))
    document = await daemon.job(job.id)
    assert document.progress.percent == 37.5
    assert (document.counts.total, document.counts.processed) == (8, 3)


async def test_rate_and_eta_come_with_samples_and_a_known_total(daemon: InProcessDaemon) -> None:
    definition = command_pipeline(("true",), 4, 1, None)
    job = await daemon.insert("j-aaaaaaaa", definition, state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, [str(number) for number in range(10)])
    await daemon.report(job, *(factories.succeeded(1, item) for item in range(1, 5)))
    before = await daemon.job(job.id)
    assert before.progress.rate == 0
    assert not before.progress.HasField("eta")
    begun = time.time() - 4.0
    daemon.live[job.id] = Live(samples={1: (Sample(begun, 0), Sample(begun + 3.9, 4))})
    after = await daemon.job(job.id)
    assert 0 < after.progress.rate <= 1.0
    # Six remain at four in four seconds or a little more.
    assert after.progress.eta.ToSeconds() >= 6
    assert after.progress.rate == pytest.approx(after.steps[1].progress.rate)


async def test_a_step_ran_without_the_pauses_of_its_job(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.PAUSED, queue_time=None, run_count=2)
    for number, start, end in ((1, 100.0, 110.0), (2, 500.0, 520.0)):
        await daemon.store.write(partial(runs.insert, run=factories.run(number=number, create_time=start)))
        await daemon.store.write(partial(runs.close, job_id=job.id, number=number, end=RunEnd.FINISHED, now=end))
    await daemon.report(job, factories.report(ReportKind.SUCCEEDED, 0, 0, start_time=104.0))
    [first, *others] = (await daemon.job(job.id)).steps
    assert first.progress.elapsed.ToSeconds() == 6 + 20
    assert not any(step.progress.HasField("elapsed") for step in others)


async def test_unknown_total_promises_nothing(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.RUNNING, queue_time=None)
    document = await daemon.job(job.id)
    assert not document.counts.total_known
    assert not document.progress.HasField("eta")
    assert document.progress.percent < 100


async def test_actions_are_what_the_calls_then_do(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaaa", state=JobState.PAUSED, queue_time=None)
    offered = {action.command: action for action in (await daemon.job("j-aaaaaaaa")).actions}
    assert list(offered) == [enums.COMMANDS[command] for command in Command]
    assert offered[job_pb2.COMMAND_RESUME].allowed
    assert offered[job_pb2.COMMAND_RESUME].recommended
    assert offered[job_pb2.COMMAND_RESUME].effect
    pause = offered[job_pb2.COMMAND_PAUSE]
    error = await daemon.refusal(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job="j-aaaaaaaa"))
    assert (pause.allowed, pause.refusal.code, pause.refusal.message) == (False, error.code, error.message)


async def test_the_pause_file_and_another_holder_of_the_key_refuse_a_resume(daemon: InProcessDaemon) -> None:
    ended = JobState.CANCELLED
    await daemon.insert("j-aaaaaaaa", uniqueness_key="k", state=ended, queue_time=None, end_time=factories.NOW)
    await daemon.insert("j-bbbbbbbb", uniqueness_key="k")

    async def refusals() -> tuple[str, str]:
        document = await daemon.job("j-aaaaaaaa")
        resume = next(action for action in document.actions if action.command == job_pb2.COMMAND_RESUME)
        error = await daemon.refusal(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job="j-aaaaaaaa"))
        return resume.refusal.code, error.code

    assert await refusals() == ("DUPLICATE_JOB", "DUPLICATE_JOB")
    await daemon.client.call(daemon.client.jobs.CancelJob, pb.CancelJobRequest(job="j-bbbbbbbb"))
    (daemon.folder / "PAUSE").touch()
    assert await refusals() == ("PAUSE_FILE", "PAUSE_FILE")


async def test_reason_stop_and_input_are_shown(daemon: InProcessDaemon) -> None:
    reason = Reason("PAUSED_BY_REQUEST", "Paused by ada.", "Resume it.")
    job = replace(
        factories.job(state=JobState.PAUSING, queue_time=None),
        reason=reason,
        stop=Stop(JobState.PAUSED, True, "ada", reason, factories.NOW),
        input=InputFile("input", "a.csv", 12, "ab"),
        source_json='{"file": "/x/creators.py", "name": "small"}',
        steps=tuple(
            StepCounts(n, name, 0, True, 0, 0, 0) for n, name in enumerate(("rows", "fetch", "score", "report"))
        ),
    )
    document = daemon.snapshots.document(job, _NOTHING_ELSE).message()
    assert (document.reason.code, document.reason.remedy) == ("PAUSED_BY_REQUEST", "Resume it.")
    assert (document.stop.target, document.stop.force, document.stop.by) == (job_pb2.JOB_STATE_PAUSED, True, "ada")
    assert (document.input.name, document.input.size_bytes) == ("a.csv", 12)
    assert document.pipeline_source == "/x/creators.py:small"


async def test_a_document_is_the_same_to_the_byte_whether_it_was_told_before_or_not(
    daemon: InProcessDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: factories.NOW + 100)
    job = await daemon.insert("j-aaaaaaaa", factories.creators(attempts=1), state=JobState.RUNNING, queue_time=None)
    await daemon.store.write(partial(runs.insert, run=factories.run(job.id, create_time=factories.NOW)))
    seen = []

    async def look() -> None:
        job = await daemon.store.read(lambda db: jobs.get(db, "j-aaaaaaaa"))
        around = await daemon.store.read(lambda db: daemon.snapshots.surroundings(db, [job]))
        anew = Snapshots(daemon.folder, lambda job_id: daemon.live.get(job_id, IDLE), daemon.vigil)
        seen.append(daemon.snapshots.document(job, around).encoded)
        assert seen[-1] == anew.document(job, around).encoded

    await look()
    await daemon.add_items(job, list("abcd"))
    task = RunningTask(1, 4, "d", 1, factories.NOW)
    quick = {1: (Sample(factories.NOW + 60, 0), Sample(factories.NOW + 99, 3))}
    await look()
    for told, live in (
        (factories.succeeded(1, 1, label="found"), Live(in_flight={1: 1}, tasks=(task,), samples=quick)),
        (factories.failed(1, 2), Live(in_flight={1: 1}, tasks=(task, task))),
        (factories.report(ReportKind.SKIPPED, 1, 3), Live(samples=quick)),
        (factories.succeeded(1, 4), IDLE),
        (factories.succeeded(2, 1), Live(in_flight={2: 1}, samples=quick)),
        (factories.succeeded(2, 4), IDLE),
    ):
        daemon.live[job.id] = live
        await daemon.report(job, told)
        await look()
    daemon.live[job.id] = Live(unrecorded=Finding(FindingKind.AT_RISK, Reason("STORE_FULL", "Full.", "Wait."), 1.0))
    await look()
    assert len(set(seen)) == len(seen)


async def test_tasks_of_a_running_job_are_told_without_reading_it(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.RUNNING, queue_time=None, labels={"team": "a"})
    await daemon.add_items(job, list("abc"))
    watch = aiter(daemon.watch())
    while not (await anext(watch)).caught_up:
        pass
    await daemon.store.write(lambda tx: tx.execute("ALTER TABLE job_label RENAME TO away"))
    for item in (1, 2, 3):
        await daemon.report(job, factories.succeeded(1, item))
        async with asyncio.timeout(10.0):
            while (message := await anext(watch)).jobs[0].steps[1].counts.succeeded != item:
                pass
        assert message.jobs[0].labels == {"team": "a"}
