"""A job's document in words for a person: counts, outcomes, times, reasons."""

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from milepost.common.text import safe, seconds_words, shell_words
from milepost.common.wire.enums import FINDING_KINDS, JOB_STATES
from milepost.core.attention import Concern, concern
from milepost.core.model import JobState
from milepost.v1 import job_pb2

#: Seconds that a job may have stood without that being told; a document of a running job may be almost as old.
_WORTH_TELLING = 5.0


def state_name(job: job_pb2.Job) -> str:
    return job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_")


def concern_of(job: job_pb2.Job) -> Concern | None:
    """Why it needs someone; a state of a newer daemon does."""
    findings = {finding.kind for finding in job.findings}
    kinds = [kind for kind, number in FINDING_KINDS.items() if number in findings]
    state = next((state for state, number in JOB_STATES.items() if number == job.state), JobState.WAITING)
    return concern(state, kinds, job.counts.failed)


def stuck_since(job: job_pb2.Job) -> float | None:
    """Unix seconds; None when nothing says that it is stuck."""
    since = [unix_seconds(finding.since_time) for finding in job.findings if finding.kind == job_pb2.FINDING_KIND_STUCK]
    return min(since, default=None)


def finding_words(finding: job_pb2.Finding) -> str:
    """The kind as people say it: "stuck", "slow", "at risk"."""
    return job_pb2.FindingKind.Name(finding.kind).removeprefix("FINDING_KIND_").lower().replace("_", " ")


def counts_words(counts: job_pb2.Counts) -> str:
    """As "228 of 313 processed, 11 failed"; of what can still arrive, so that it can become all of it."""
    return _counted(counts, " processed")


def processed_words(counts: job_pb2.Counts) -> str:
    """As "228 of 313, 11 failed", where a title says that it is what is processed."""
    return _counted(counts, "")


def _counted(counts: job_pb2.Counts, processed: str) -> str:
    possible = counts.total - counts.upstream
    if not possible and not counts.total_known:
        return f"nothing{processed} yet"
    words = f"{counts.processed} of {possible}{'' if counts.total_known else '+'}{processed}"
    return f"{words}, {counts.failed} failed" if counts.failed else words


def empty_words(job: job_pb2.Job) -> str:
    """Of a job that is completed since there was nothing to do; else empty."""
    takes_items = any(step.takes == "each" for step in job.steps[1:])
    if job.state != job_pb2.JOB_STATE_COMPLETED or job.counts.total or not takes_items:
        return ""
    whose = f"Its input {safe(job.input.name)} had" if job.input.name else "It had"
    return f"{whose} no items: nothing was processed."


def outcomes_words(outcomes: Sequence[job_pb2.OutcomeCount]) -> str:
    """As "200 added, 11 failed, 2 skipped (filtered)"."""
    parts = []
    for entry in outcomes:
        plain = job_pb2.Outcome.Name(entry.outcome).removeprefix("OUTCOME_").lower()
        if not entry.label:
            parts.append(f"{entry.count} {plain}")
        elif entry.outcome == job_pb2.OUTCOME_SUCCEEDED:
            parts.append(f"{entry.count} {safe(entry.label)}")
        else:
            parts.append(f"{entry.count} {plain} ({safe(entry.label)})")
    return ", ".join(parts)


def duration_seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def unix_seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9


def ran_words(job: job_pb2.Job, now: float) -> str:
    """How long it ran; as "12m of 3h 20m" where it did not all the time, as while it was paused. Empty before that."""
    if not job.HasField("start_time"):
        return ""
    ran = duration_seconds(job.progress.elapsed)
    since = (unix_seconds(job.end_time) if job.HasField("end_time") else now) - unix_seconds(job.start_time)
    return f"{seconds_words(ran)} of {seconds_words(since)}" if since - ran >= _WORTH_TELLING else seconds_words(ran)


def eta_words(progress: job_pb2.Progress) -> str:
    return seconds_words(duration_seconds(progress.eta)) if progress.HasField("eta") else "—"


def clock_words(moment: Timestamp, now: float) -> str:
    """Local time; with the date when it is not within a day of now."""
    import time

    seconds = unix_seconds(moment)
    near = abs(now - seconds) < 86_400
    return time.strftime("%H:%M:%S" if near else "%Y-%m-%d %H:%M", time.localtime(seconds))


def submit_words(job: job_pb2.Job) -> str:
    """The command that submits it anew, as far as its document tells how it was submitted.

    Of the input it has the name, not the folder; of a command not how many at a time, nor its attempts and time-out.
    """
    given = shell_words([safe(job.input.name)]) if job.input.name else "FILE"
    options = shell_words(_submit_options(job))
    if job.command:
        words = [options, "--each", given, "--", shell_words(map(safe, job.command))]
    else:
        words = [shell_words([safe(job.pipeline_source)]), "--input", given, options]
    return " ".join(["milepost submit", *filter(None, words)])


def _submit_options(job: job_pb2.Job) -> list[str]:
    import json

    options: list[str] = []
    if job.name != job.pipeline:
        options += ["--name", safe(job.name)]
    for name, text in sorted(job.labels.items()):
        options += ["--label", safe(f"{name}={text}")]
    if job.queue not in ("", "default"):
        options += ["--queue", safe(job.queue)]
    if job.priority:
        options += ["--priority", str(job.priority)]
    for name, value in json.loads(job.parameters_json or "{}").items():
        options += ["--param", safe(f"{name}={_parameter(value)}")]
    return options


def _parameter(value: object) -> str:
    """As `--param` takes it: JSON, or text that is none."""
    import json

    if isinstance(value, str) and value.isprintable():
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value)


def reason_words(reason: job_pb2.Reason) -> str:
    return safe(f"{reason.message} {reason.remedy}".strip())
