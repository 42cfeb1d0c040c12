"""The table of states and commands, cell by cell, and what facts make of a job."""

from dataclasses import replace

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.lifecycle import (
    Circumstances,
    Request,
    cannot_go_on,
    decide,
    reason_of_root,
    settle,
    started,
)
from milepost.core.model import Command, Failure, InputFile, Job, JobState, Reason, RunEnd, RunnerLostPolicy, Stop
from milepost.core.transitions import NOTHING_LEFT, TABLE, Effect, Refusal
from tests.core.factories import ALL_DONE, AT_228, CREATORS, counts, job

ASKED = Request(by="ada", now=100.0, reason="lunch")
FREE = Circumstances()

#: What each effect makes of the job, written down a second time and by hand: (state, stop target, forced).
EXPECTED = {
    Effect.HOLD: (JobState.PAUSED, None, None),
    Effect.STOP_TO_PAUSE: (JobState.PAUSING, JobState.PAUSED, False),
    Effect.STOP_TO_PAUSE_NOW: (JobState.PAUSING, JobState.PAUSED, True),
    Effect.REVOKE_PAUSE: (JobState.RUNNING, None, None),
    Effect.ENQUEUE: (JobState.QUEUED, None, None),
    Effect.STOP_TO_RESTART: (JobState.RUNNING, JobState.QUEUED, True),
    Effect.STOP_TO_REWIND: (JobState.RUNNING, JobState.QUEUED, True),
    Effect.REWIND: (JobState.QUEUED, None, None),
    Effect.CANCEL_AT_ONCE: (JobState.CANCELLED, None, None),
    Effect.STOP_TO_CANCEL: (JobState.CANCELLING, JobState.CANCELLED, False),
    Effect.STOP_TO_FORCE_CANCEL: (JobState.CANCELLING, JobState.CANCELLED, True),
    Effect.RETRY_AND_ENQUEUE: (JobState.QUEUED, None, None),
}
CELLS = [(state, command) for state in JobState for command in Command]


def test_table_is_complete() -> None:
    assert set(TABLE) == set(CELLS)


@pytest.mark.parametrize(("state", "command"), CELLS)
def test_cell(state: JobState, command: Command) -> None:
    before = job(state)
    rule = TABLE[state, command]
    if isinstance(rule, Refusal):
        with pytest.raises(MilepostError) as refused:
            decide(before, command, ASKED, FREE)
        assert refused.value.code is Code.NOT_ALLOWED
        assert refused.value.metadata == {"state": state, "command": command, "job": before.id}
        assert rule.why in refused.value.message
        assert refused.value.remedy == rule.instead or rule is NOTHING_LEFT, "which depends on what failed"
        assert before == job(state)
        return
    after = decide(before, command, ASKED, FREE).job
    if rule is Effect.RETRY_IN_PLACE:
        assert after == before
        return
    stop = after.stop
    found = (after.state, stop.target if stop else None, stop.force if stop else None)
    assert found == EXPECTED[rule]
    assert (after.end_time is not None) == (after.state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED))


def test_pause_says_who_and_why() -> None:
    after = decide(job(), Command.PAUSE, ASKED, FREE).job
    assert after.stop is not None
    assert (after.stop.by, after.stop.reason.message, after.stop.time) == ("ada", "Paused by ada: lunch.", 100.0)


def test_force_only_escalates() -> None:
    forced = decide(job(), Command.PAUSE_NOW, ASKED, FREE).job
    cancelled = decide(forced, Command.CANCEL, ASKED, FREE).job
    assert cancelled.stop is not None
    assert cancelled.stop.force
    assert cancelled.state is JobState.CANCELLING


def test_resume_counts_and_takes_the_end_back() -> None:
    after = decide(job(JobState.CANCELLED), Command.RESUME, ASKED, FREE).job
    assert (after.state, after.resume_count, after.end_time, after.queue_time) == (JobState.QUEUED, 1, None, 100.0)


def test_a_held_job_that_never_ran_is_not_resumed_but_started() -> None:
    after = decide(job(JobState.PAUSED, run_count=0), Command.RESUME, ASKED, FREE).job
    assert (after.state, after.resume_count) == (JobState.QUEUED, 0)


def test_resume_reopens_a_failed_task_of_the_root() -> None:
    assert decide(job(JobState.FAILED), Command.RESUME, ASKED, FREE).reopens_root
    assert not decide(job(JobState.PAUSED), Command.RESTART_FROM_STEP, ASKED, FREE).reopens_root


def test_retry_needs_something_that_failed() -> None:
    clean = job(JobState.COMPLETED, steps=tuple(step._replace(failed=0) for step in ALL_DONE))
    with pytest.raises(MilepostError) as refused:
        decide(clean, Command.RETRY, ASKED, FREE)
    assert refused.value.code is Code.NOTHING_FAILED


def test_a_completed_job_is_retried_where_something_failed() -> None:
    clean = job(JobState.COMPLETED, steps=tuple(step._replace(failed=0) for step in ALL_DONE))
    for found, instead in (
        (clean, "Look at its results."),
        (job(JobState.COMPLETED, steps=ALL_DONE), "milepost retry"),
    ):
        with pytest.raises(MilepostError) as refused:
            decide(found, Command.RESUME, ASKED, FREE)
        assert instead in refused.value.remedy


@pytest.mark.parametrize("command", [Command.RESUME, Command.RESTART_FROM_SCRATCH, Command.RETRY])
def test_an_ended_job_does_not_double_another(command: Command) -> None:
    with pytest.raises(MilepostError) as refused:
        decide(job(JobState.CANCELLED), command, ASKED, Circumstances(key_holder="j-bbbbbbbb"))
    assert refused.value.code is Code.DUPLICATE_JOB
    assert refused.value.metadata["other_job"] == "j-bbbbbbbb"


def test_a_pause_file_for_all_keeps_jobs_from_going_on() -> None:
    with pytest.raises(MilepostError) as refused:
        decide(job(JobState.PAUSED), Command.RESUME, ASKED, Circumstances(pause_file="/state/PAUSE"))
    assert refused.value.code is Code.PAUSE_FILE


def test_records_are_rewritten_once_at_a_time() -> None:
    with pytest.raises(MilepostError) as refused:
        decide(job(JobState.PAUSED, operation="REWIND"), Command.RETRY, ASKED, FREE)
    assert refused.value.code is Code.JOB_CHANGING


def test_a_restart_is_asked_for_once() -> None:
    restarting = decide(job(), Command.RESTART, ASKED, FREE).job
    with pytest.raises(MilepostError, match="being restarted already"):
        decide(restarting, Command.RESTART, ASKED, FREE)
    assert decide(restarting, Command.PAUSE, ASKED, FREE).job.state is JobState.PAUSING


def stopped(target: JobState, *, force: bool = False) -> Stop:
    return Stop(target, force, "ada", Reason("X", "Because."), 10.0)


@pytest.mark.parametrize("target", [JobState.PAUSED, JobState.CANCELLED, JobState.WAITING, JobState.FAILED])
def test_stop_becomes_fact_when_the_runner_has_ended(target: JobState) -> None:
    after = settle(job(stop=stopped(target)), CREATORS, RunEnd.LOST, None, 200.0)
    assert (after.state, after.stop, after.reason) == (target, None, Reason("X", "Because."))


@pytest.mark.parametrize("target", [JobState.PAUSED, JobState.CANCELLED, JobState.QUEUED])
def test_completion_beats_every_stop(target: JobState) -> None:
    after = settle(job(stop=stopped(target), steps=ALL_DONE), CREATORS, RunEnd.LOST, None, 200.0)
    assert (after.state, after.end_time, after.stop) == (JobState.COMPLETED, 200.0, None)


def test_a_rewind_beats_completion() -> None:
    rewinding = job(stop=stopped(JobState.QUEUED, force=True), steps=ALL_DONE, operation="REWIND")
    assert settle(rewinding, CREATORS, RunEnd.LOST, None, 200.0).state is JobState.QUEUED


def test_a_failed_task_of_the_root_fails_the_job_even_when_nothing_remains() -> None:
    steps = (*ALL_DONE[:3], counts(3, "report", 1, failed=1))
    failing = cannot_go_on(job(steps=steps), Reason("TASK_FAILED", "report: no."), 150.0)
    assert failing.stop is not None
    after = settle(failing, CREATORS, RunEnd.LOST, None, 200.0)
    assert (after.state, after.reason) == (JobState.FAILED, Reason("TASK_FAILED", "report: no."))


@pytest.mark.parametrize(
    ("error_class", "has_input", "code"),
    [
        ("corrupt_source", True, "INPUT_UNUSABLE"),
        ("corrupt_source", False, "INPUT_UNUSABLE"),  # it was asked for, and not given
        ("duplicate", True, "INPUT_UNUSABLE"),
        ("duplicate", False, "TASK_FAILED"),  # the pipeline's own items: a resume runs what was mended
        ("error", True, "TASK_FAILED"),
    ],
)
def test_a_resume_is_no_help_where_the_input_is_to_blame(error_class: str, has_input: bool, code: str) -> None:
    given = InputFile("input/rows.csv", "rows.csv", 10, "0" * 64) if has_input else None
    reason = reason_of_root(job(input=given), Failure(error_class, "", "It is no good.", remedy="Mend it."))
    assert reason.code == code
    assert reason.message.endswith("It is no good.")
    assert reason.remedy.startswith("Mend it.")
    assert ("submit it again" in reason.remedy) == (code == "INPUT_UNUSABLE")


def test_what_someone_asked_for_stands_when_the_job_cannot_go_on() -> None:
    pausing = job(JobState.PAUSING)
    assert cannot_go_on(pausing, Reason("X", "No."), 150.0) is pausing


def test_a_pipeline_that_cannot_be_loaded_waits() -> None:
    mistake = Reason("PIPELINE_NOT_IMPORTABLE", "No module named x.", "Install x.")
    after = settle(job(), CREATORS, RunEnd.LOST, mistake, 200.0)
    assert (after.state, after.reason) == (JobState.WAITING, mistake)


def lose(before: Job, times: int) -> Job:
    for _ in range(times):
        before = settle(started(before, 100.0), CREATORS, RunEnd.LOST, None, 200.0)
    return before


def test_a_lost_runner_is_resumed_five_times_without_progress() -> None:
    resumed = lose(job(JobState.QUEUED, auto_resume_mark=10_000), 5)
    assert (resumed.state, resumed.auto_resume_count, resumed.resume_count) == (JobState.QUEUED, 5, 5)
    failed = lose(resumed, 1)
    assert failed.state is JobState.FAILED
    assert failed.reason is not None
    assert failed.reason.code == "RUNNER_LOST"


@pytest.mark.parametrize(
    ("end", "how", "words"),
    [
        (RunEnd.LOST, "was killed by SIGKILL", "Its runner was killed by SIGKILL; resumed automatically (1 of 5)."),
        (RunEnd.LOST, "", "Its runner was lost; resumed automatically (1 of 5)."),
        (
            RunEnd.START_FAILED,
            "exited with 1",
            "Its runner could not be started: it exited with 1; resumed automatically (1 of 5).",
        ),
    ],
)
def test_what_ended_a_runner_is_said(end: RunEnd, how: str, words: str) -> None:
    after = settle(job(), CREATORS, end, None, 200.0, how=how)
    assert after.reason == Reason("RUNNER_LOST", words)


def test_progress_starts_the_count_of_automatic_resumes_anew() -> None:
    resumed = lose(job(JobState.QUEUED), 5)
    progressed = replace(resumed, steps=(AT_228[0], AT_228[1]._replace(succeeded=201), *AT_228[2:]))
    assert lose(progressed, 1).auto_resume_count == 1


def test_a_rewind_starts_the_count_of_automatic_resumes_anew() -> None:
    rewound = decide(job(JobState.QUEUED, auto_resume_mark=10_000), Command.RESTART_FROM_STEP, ASKED, FREE).job
    assert lose(rewound, 1).auto_resume_mark == 429
    assert decide(job(auto_resume_mark=10_000), Command.RESTART_FROM_SCRATCH, ASKED, FREE).job.auto_resume_mark == 0


def test_more_to_do_for_a_runner_that_ends_in_order_is_no_loss() -> None:
    told_to_hold = job(runner_lost_policy=RunnerLostPolicy.HOLD)
    after = settle(told_to_hold, CREATORS, RunEnd.FINISHED, None, 200.0)
    assert (after.state, after.auto_resume_count, after.resume_count) == (JobState.QUEUED, 0, 0)


def test_retry_waits_for_a_stop() -> None:
    failing = cannot_go_on(job(), Reason("TASK_FAILED", "No."), 150.0)
    with pytest.raises(MilepostError, match="it is being stopped"):
        decide(failing, Command.RETRY, ASKED, FREE)


def test_a_job_told_to_hold_does_not_resume_by_itself() -> None:
    after = settle(job(runner_lost_policy=RunnerLostPolicy.HOLD), CREATORS, RunEnd.LOST, None, 200.0)
    assert after.state is JobState.FAILED
    assert after.reason is not None
    assert "told to hold" in after.reason.message
