"""The encoded document of one job, kept while it runs: what stays as it was is not encoded again.

A document is put together from the bytes of its parts, each a `Job` with a few fields set: joined, they are one. What
changes with each task is one message, into which the new values are written: to make it anew takes five times as long.
"""

import json
import shlex
from collections.abc import MutableSequence, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from milepost.common.wire import job as wire
from milepost.common.wire.enums import JOB_STATES, RUNNER_LOST_POLICIES
from milepost.common.wire.times import timestamp, write_duration, write_timestamp
from milepost.core import progress
from milepost.core.actions import Offer, counted_text, fixed_text, offers
from milepost.core.definition import PipelineDefinition
from milepost.core.findings import Finding
from milepost.core.lifecycle import Circumstances, Condition, as_told, condition_of
from milepost.core.model import Job, LabelCount, Reason, StepCounts
from milepost.core.progress import Counts, Span
from milepost.daemon.live import Live, RunningTask
from milepost.v1 import job_pb2 as pb

#: Documents after which a message is made anew: what was written over stays in its memory, if it was not a number.
RENEWED = 1000
#: Lists of actions that are kept as encoded.
_KEPT_ACTIONS = 1000


class View(NamedTuple):
    """What a document tells, as of `now` (Unix seconds).

    `place`: in the queue, or 0; `counts`: of its steps; `total`: of the job; `spans`: when runs of it went on, the one
    that goes on until now; `running`: seconds for which this one has; `stalled`: it, or its pause, does not get on.
    """

    job: Job
    definition: PipelineDefinition
    now: float
    place: int
    counts: Sequence[Counts]
    total: Counts
    live: Live
    spans: Sequence[Span]
    running: float
    findings: Sequence[Finding]
    circumstances: Circumstances
    stalled: bool


class Draft:
    """`folder`: the job's."""

    def __init__(self, job: Job, definition: PipelineDefinition, folder: str) -> None:
        self._definition = definition
        self._parameters = job.parameters_json
        self._message = pb.Job(folder=folder, parameters_json=job.parameters_json, command=definition.command)
        self._steps = [
            _Step(self._message.steps.add(name=step.name, position=position, takes=step.takes, gives=step.gives))
            for position, step in enumerate(definition.steps)
        ]
        self._outcomes = _Outcomes(self._message.outcomes)
        self._actions: dict[Offer, pb.Job] = {}
        self._lasting: tuple[object, bytes] = None, b""
        self._tasks: tuple[Sequence[RunningTask], bytes] = (), b""
        self._written = 0

    def serves(self, job: Job, definition: PipelineDefinition) -> bool:
        """Whether the document of this job can be written into it."""
        return self._definition is definition and self._parameters == job.parameters_json and self._written < RENEWED

    def encode(self, view: View) -> bytes:
        self._written += 1
        self._write_changing(view)
        parts = [
            self._encode_lasting(as_told(view.job, view.circumstances)),
            self._message.SerializeToString(),
            self._encode_tasks(view.live.tasks),
            *self._encode_actions(view),
        ]
        if view.findings:
            parts.append(pb.Job(findings=[wire.finding(finding) for finding in view.findings]).SerializeToString())
        return b"".join(parts)

    def _write_changing(self, view: View) -> None:
        message, job, definition, now = self._message, view.job, view.definition, view.now
        message.queue_position = view.place
        message.revision = job.revision
        write_timestamp(message.activity_time, job.activity_time)
        wire.write_counts(message.counts, view.total)
        self._outcomes.update(progress.job_outcomes(definition, job.steps))
        samples, spans = view.live.samples, view.spans
        rates = [
            progress.rate(samples[position], now) if position in samples else 0.0
            for position in range(len(definition.steps))
        ]
        elapsed = [
            None if step.start_time is None else progress.seconds_at_work(step.start_time, step.end_time or now, spans)
            for step in job.steps
        ]
        _write_progress(
            message.progress,
            progress.job_percent(definition, view.counts),
            progress.job_rate(definition, view.counts, rates),
            progress.job_eta(definition, view.counts, rates),
            job.elapsed + view.running,
        )
        for draft, values in zip(self._steps, zip(job.steps, view.counts, rates, elapsed, strict=True), strict=True):
            if draft.written != values:
                draft.fill(*values)

    def _encode_lasting(self, job: Job) -> bytes:
        values = _lasting_values(job)
        if self._lasting[0] != values:
            self._lasting = values, _lasting(job).SerializeToString()
        return self._lasting[1]

    def _encode_tasks(self, tasks: Sequence[RunningTask]) -> bytes:
        if self._tasks[0] is not tasks:
            shapes = self._definition.steps
            messages = [_in_flight(task, shapes[task.step].name) for task in tasks]
            self._tasks = tasks, pb.Job(in_flight=messages).SerializeToString()
        return self._tasks[1]

    def _encode_actions(self, view: View) -> list[bytes]:
        known = _known_actions(condition_of(view.job), view.circumstances, view.stalled)
        return [action if isinstance(action, bytes) else self._encode_action(action, view) for action in known]

    def _encode_action(self, offer: Offer, view: View) -> bytes:
        assert not isinstance(offer.effect, Reason)
        text = counted_text(view.definition, view.counts, offer.effect)
        message = self._actions.get(offer)
        if message is None:
            message = self._actions[offer] = pb.Job(actions=[wire.action(offer, text)])
        message.actions[0].effect = text
        return message.SerializeToString()


class _Step:
    """The message of a step, and what was last written into it."""

    def __init__(self, message: pb.Step) -> None:
        self._message = message
        self._outcomes = _Outcomes(message.outcomes)
        self.written: tuple[object, ...] = ()

    def fill(self, step: StepCounts, counts: Counts, rate: float, elapsed: float | None) -> None:
        self.written = step, counts, rate, elapsed
        message = self._message
        wire.write_counts(message.counts, counts)
        self._outcomes.update(step.labels)
        _write_progress(message.progress, progress.percent((counts,)), rate, progress.eta(counts, rate), elapsed)
        if step.start_time is None:
            message.ClearField("start_time")
        else:
            write_timestamp(message.start_time, step.start_time)
        if step.end_time is None:
            message.ClearField("end_time")
        else:
            write_timestamp(message.end_time, step.end_time)


class _Outcomes:
    """The messages of counts by label, and what was last written into them."""

    def __init__(self, messages: MutableSequence[pb.OutcomeCount]) -> None:
        self._messages = messages
        self._written: Sequence[LabelCount] = ()

    def update(self, labels: Sequence[LabelCount]) -> None:
        before, self._written = self._written, labels
        if [entry[:2] for entry in before] != [entry[:2] for entry in labels]:
            del self._messages[:]
            self._messages.extend(map(wire.outcome, labels))
            return
        for message, entry in zip(self._messages, labels, strict=True):
            message.count = entry.count


def _write_progress(
    message: pb.Progress, percent: float, rate: float, eta: float | None, elapsed: float | None
) -> None:
    message.percent = percent
    message.rate = rate
    if eta is None:
        message.ClearField("eta")
    else:
        write_duration(message.eta, eta)
    if elapsed is None:
        message.ClearField("elapsed")
    else:
        write_duration(message.elapsed, elapsed)


#: What changes with each task, and what may be large.
_NOT_LASTING = {"revision", "activity_time", "steps", "definition_json", "parameters_json", "environment"}
_lasting_values = attrgetter(*(name for name in Job.__dataclass_fields__ if name not in _NOT_LASTING))


def _lasting(job: Job) -> pb.Job:
    return pb.Job(
        id=job.id,
        name=job.name,
        state=JOB_STATES[job.state],
        reason=wire.reason(job.reason),
        stop=wire.stop(job.stop),
        pipeline=job.pipeline,
        pipeline_source=_source_text(job.source_json),
        labels=job.labels,
        queue=job.queue,
        priority=job.priority,
        create_time=timestamp(job.create_time),
        start_time=timestamp(job.start_time),
        end_time=timestamp(job.end_time),
        scheduled_time=timestamp(job.scheduled_time),
        run_count=job.run_count,
        resume_count=job.resume_count,
        auto_resume_count=job.auto_resume_count,
        runner_lost_policy=RUNNER_LOST_POLICIES[job.runner_lost_policy],
        python=job.python,
        working_directory=job.working_directory,
        input=wire.input_info(job.input),
        submitted_by=job.submitted_by,
        omitted_variables=job.omitted_variables,
        retry_count=job.retry_count,
        next_retry_time=timestamp(job.next_retry_time),
    )


def _source_text(source_json: str) -> str:
    """As a person writes it: `creators.py`, `creators.py:name`, `package.module:name`, or the command."""
    source = json.loads(source_json)
    if "command" in source:
        return shlex.join(source["command"])
    where = source.get("file") or source.get("module", "")
    return f"{where}:{source['name']}" if source.get("name") else str(where)


def _in_flight(task: RunningTask, step: str) -> pb.InFlightTask:
    return pb.InFlightTask(
        step=step,
        item_key=task.key,
        item_id=task.item,
        attempt=task.attempt,
        start_time=timestamp(task.start_time),
    )


@lru_cache(maxsize=_KEPT_ACTIONS)
def _known_actions(job: Condition, circumstances: Circumstances, stalled: bool) -> tuple[bytes | Offer, ...]:
    """Encoded, joined where they follow each other, but for those whose text depends on how far the job is."""
    known: list[bytes | Offer] = []
    for offer in offers(job, circumstances, stalled=stalled):
        text = "" if isinstance(offer.effect, Reason) else fixed_text(offer.command, offer.effect)
        if text is None:
            known.append(offer)
            continue
        encoded = pb.Job(actions=[wire.action(offer, text)]).SerializeToString()
        if known and isinstance(known[-1], bytes):
            known[-1] += encoded
        else:
            known.append(encoded)
    return tuple(known)
