"""A job in full, for a person: what `show` prints."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

from milepost.cli.context import Context
from milepost.cli.text import Cell, below, state_cell
from milepost.common.text import safe, seconds_words, width
from milepost.common.words import (
    clock_words,
    counts_words,
    empty_words,
    eta_words,
    finding_words,
    outcomes_words,
    ran_words,
    reason_words,
    state_name,
    submit_words,
    unix_seconds,
)
from milepost.core.model import INPUT_UNUSABLE
from milepost.v1 import job_pb2


def describe(context: Context, job: job_pb2.Job) -> None:
    now = time.time()
    cell = state_cell(job, now)
    context.out(f"{context.paint(cell.colour, cell.text)}  {context.paint('bold', safe(job.name))}  {job.id}")
    for label, text in (*_findings(context, job, now), *_facts(job, now)):
        context.out(f"  {label:<9} {text}")
    if job.steps:
        context.out("")
        context.out_table(
            ["STEP", "PROCESSED", "FAILED", "SKIPPED", "IN FLIGHT", "PENDING", "RATE", "LEFT"], _steps(job)
        )
    _out_in_flight(context, job, now)
    _out_actions(context, job)


def _findings(context: Context, job: job_pb2.Job, now: float) -> list[tuple[str, str]]:
    """What is noticed, and on a line of its own what to do: a command there can be copied."""
    facts = []
    for finding in job.findings:
        age = seconds_words(now - unix_seconds(finding.since_time))
        facts.append((finding_words(finding), f"{age}: {safe(finding.reason.message)} [{safe(finding.reason.code)}]"))
        if finding.reason.remedy:
            facts.append(("next", context.as_called(safe(finding.reason.remedy))))
    return facts


def _facts(job: job_pb2.Job, now: float) -> list[tuple[str, str]]:
    facts = [("progress", _progress(job, now))]
    if job.outcomes:
        facts.append(("outcomes", outcomes_words(job.outcomes)))
    if empty := empty_words(job):
        facts.append(("warning", empty))
    if job.HasField("reason") and job.reason.message:
        facts.append(("reason", f"{reason_words(job.reason)} [{safe(job.reason.code)}]"))
    if job.HasField("stop"):
        target = job_pb2.JobState.Name(job.stop.target).removeprefix("JOB_STATE_")
        force = " by force" if job.stop.force else ""
        facts.append(("stop", f"to {target}{force}, asked by {safe(job.stop.by)} {_ago(job.stop.request_time, now)}"))
    if job.retry_count:
        waiting = "1 item waits" if job.retry_count == 1 else f"{job.retry_count} items wait, the first"
        facts.append(("retries", f"{waiting} until {_clock(job.next_retry_time, now)}"))
    facts.append(("pipeline", f"{safe(job.pipeline)} from {safe(job.pipeline_source)}"))
    if job.HasField("input"):
        facts.append(("input", f"{safe(job.input.name) or 'items in the request'} ({job.input.size_bytes:,} bytes)"))
    if job.parameters_json not in ("", "{}"):
        facts.append(("parameters", safe(job.parameters_json)))
    if job.labels:
        facts.append(("labels", ", ".join(f"{safe(key)}={safe(value)}" for key, value in sorted(job.labels.items()))))
    place = f", place {job.queue_position}" if job.queue_position else ""
    facts.append(("queue", f"{safe(job.queue)}, priority {job.priority}{place}"))
    facts.append(("submitted", f"{_clock(job.create_time, now)} by {safe(job.submitted_by)}, {_lives(job, now)}"))
    facts.append(("python", safe(job.python) or "the daemon's"))
    facts.append(("runs in", safe(job.working_directory)))
    facts.append(("folder", safe(job.folder)))
    if job.omitted_variables:
        facts.append(("left out", f"{', '.join(map(safe, job.omitted_variables))} (variables that look like secrets)"))
    return facts


def _progress(job: job_pb2.Job, now: float) -> str:
    words = f"{counts_words(job.counts)}, {job.progress.percent:.0f} %"
    if job.progress.rate:
        words += f", {job.progress.rate:.1f}/s, {eta_words(job.progress)} left"
    ran = ran_words(job, now)
    return f"{words}, ran {ran}" if ran else words


def _lives(job: job_pb2.Job, now: float) -> str:
    runs = "1 run" if job.run_count == 1 else f"{job.run_count} runs"
    return f"{runs}, last activity {_ago(job.activity_time, now)}"


def _clock(moment: Timestamp, now: float) -> str:
    return clock_words(moment, now)


def _ago(moment: Timestamp, now: float) -> str:
    return f"{seconds_words(now - unix_seconds(moment))} ago"


def _steps(job: job_pb2.Job) -> list[list[Cell | str]]:
    rows: list[list[Cell | str]] = []
    for step in job.steps:
        counts = step.counts
        possible = counts.total - counts.upstream
        processed = f"{counts.processed} of {possible}{'' if counts.total_known else '+'}"
        rows.append(
            [
                safe(step.name),
                processed,
                Cell(str(counts.failed), "red" if counts.failed else ""),
                str(counts.skipped),
                str(counts.in_flight),
                str(counts.pending),
                f"{step.progress.rate:.1f}/s" if step.progress.rate else "",
                eta_words(step.progress),
            ]
        )
    return rows


def _out_in_flight(context: Context, job: job_pb2.Job, now: float) -> None:
    if not job.in_flight:
        return
    context.out("\nin flight")
    for task in job.in_flight[:10]:
        attempt = f", attempt {task.attempt}" if task.attempt > 1 else ""
        since = seconds_words(now - unix_seconds(task.start_time))
        context.out(f"  {safe(task.step)} {safe(task.item_key)}, {since}{attempt}")
    if len(job.in_flight) > 10:
        context.out(f"  and {max(job.counts.in_flight, len(job.in_flight)) - 10} more")


def _out_actions(context: Context, job: job_pb2.Job) -> None:
    """What the daemon says is possible; recommended ones first."""
    allowed = sorted((action for action in job.actions if action.allowed), key=lambda action: not action.recommended)
    if not allowed:
        return
    context.out("\nyou can")
    lines = [context.as_called(command_line(action, job.id)) for action in allowed]
    marks = ["*" if action.recommended else " " for action in allowed]
    effects = [safe(action.effect) for action in allowed]
    longest, columns = max(len(line) for line in lines), context.columns
    is_wide = columns is None or all(longest + 5 + width(effect) <= columns for effect in effects)
    for mark, line, effect in zip(marks, lines, effects, strict=True):
        if columns is None or is_wide:
            context.out(f" {mark} {line:<{longest}}  {effect}")
        else:
            context.out(f" {mark} {line}")
            context.out(below(effect, columns))
    if state_name(job) == "COMPLETED":
        context.out(context.as_called(f"   milepost results {job.id}"))
    if job.reason.code == INPUT_UNUSABLE:
        context.out(context.as_called(f" * {submit_words(job)}"))


_COMMAND_LINES = {
    job_pb2.COMMAND_PAUSE: "pause {}",
    job_pb2.COMMAND_PAUSE_NOW: "pause {} --now",
    job_pb2.COMMAND_RESUME: "resume {}",
    job_pb2.COMMAND_RESTART: "restart {}",
    job_pb2.COMMAND_RESTART_FROM_STEP: "restart {} --from STEP",
    job_pb2.COMMAND_RESTART_FROM_SCRATCH: "restart {} --from-scratch",
    job_pb2.COMMAND_CANCEL: "cancel {}",
    job_pb2.COMMAND_FORCE_CANCEL: "force-cancel {}",
    job_pb2.COMMAND_RETRY: "retry {}",
}


def command_line(action: job_pb2.Action, job_id: str) -> str:
    known = _COMMAND_LINES.get(action.command)
    return f"milepost {known.format(job_id)}" if known else job_pb2.Command.Name(action.command)
