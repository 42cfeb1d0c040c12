"""What failed, as a text that can be pasted into an issue. Pure; time is an argument."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import milepost
from milepost.common.text import safe, safe_lines
from milepost.common.words import (
    counts_words,
    outcomes_words,
    ran_words,
    reason_words,
    state_name,
    unix_seconds,
)
from milepost.tui import documents
from milepost.v1 import daemon_service_pb2, job_pb2

#: Letters of a message and of a traceback; of a traceback the end counts.
_MESSAGE = 1000
_TRACEBACK = 4000
_LOG_LINE = 500


@dataclass(frozen=True)
class Evidence:
    """`failed`: the first failed items, of `failed_total`; `events`: newest first; `log_lines`: the last ones."""

    job: job_pb2.Job
    daemon: daemon_service_pb2.GetInfoResponse
    failed: Sequence[job_pb2.Item]
    failed_total: int
    events: Sequence[job_pb2.Event]
    log_lines: Sequence[str]


def failure_report(found: Evidence, now: float) -> str:
    """Markdown. Control characters of the job's own texts are escaped; none of its parameters or payloads is in it."""
    parts = [_head(found, now), _why(found.job), _steps(found.job), _items(found), _events(found), _log(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(found: Evidence, now: float) -> str:
    job = found.job
    lines = [
        f"# {state_name(job)}: {safe(job.name)} ({job.id})",
        "",
        f"- milepost {milepost.__version__}, daemon {found.daemon.version} on Python {found.daemon.python_version}, "
        f"SQLite {found.daemon.sqlite_version}",
        f"- pipeline {safe(job.pipeline)} from {safe(job.pipeline_source)}",
        f"- python {safe(job.python) or 'of the daemon'}",
        f"- submitted {_moment(unix_seconds(job.create_time))} by {safe(job.submitted_by)}; runs: {job.run_count}, "
        f"ran {ran_words(job, now) or 'not yet'}",
        f"- {counts_words(job.counts)}",
        f"- reported {_moment(now)}",
    ]
    if job.outcomes:
        lines.insert(-1, f"- outcomes: {outcomes_words(job.outcomes)}")
    return "\n".join(lines)


def _why(job: job_pb2.Job) -> str:
    lines = []
    if job.reason.message:
        lines.append(f"Reason: {reason_words(job.reason)} [{safe(job.reason.code)}]")
    lines += [f"Finding: {reason_words(finding.reason)} [{safe(finding.reason.code)}]" for finding in job.findings]
    return "\n".join(lines)


def _steps(job: job_pb2.Job) -> str:
    if not job.steps:
        return ""
    rows = [f"| {_cell(step.name)} | {counts_words(step.counts)} |" for step in job.steps]
    return "\n".join(["| step | counts |", "| --- | --- |", *rows])


def _items(found: Evidence) -> str:
    if not found.failed:
        return ""
    some = f", the first {len(found.failed)}" if len(found.failed) < found.failed_total else ""
    parts = [f"## Failed items: {found.failed_total}{some}"]
    for item in found.failed:
        failure = item.failure
        parts.append(f"### {safe(item.key)} at {safe(item.step)}, attempt {item.attempt}")
        parts.append(f"{safe(failure.error_class)} (rule {safe(failure.rule)})")
        parts.append(_fenced(failure.message[:_MESSAGE]))
        if failure.traceback:
            parts.append(_fenced(failure.traceback[-_TRACEBACK:]))
        if failure.remedy:
            parts.append(f"Remedy: {safe(failure.remedy)}")
    return "\n\n".join(parts)


def _events(found: Evidence) -> str:
    if not found.events:
        return ""
    lines = [
        f"{_moment(unix_seconds(event.event_time))}  {safe(event.by)}  {safe(documents.event_line(event))}  "
        f"{safe(event.message[:_MESSAGE])}"
        for event in reversed(found.events)
    ]
    return "\n\n".join(["## Last events", _fenced("\n".join(lines))])


def _log(found: Evidence) -> str:
    if not found.log_lines:
        return ""
    text = "\n".join(line[:_LOG_LINE] for line in found.log_lines)
    return "\n\n".join(["## Last lines of the log", _fenced(text)])


def _fenced(text: str) -> str:
    """As code, whatever is in it: the fence is longer than any within."""
    shown = safe_lines(text)
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}\n{shown}\n{fence}"


def _cell(text: str) -> str:
    return safe(text).replace("|", "\\|")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
