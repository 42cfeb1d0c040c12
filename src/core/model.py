"""The values that the store keeps, the runner reports and the rules decide on.

What is made once for each task, or for each step of a job at each look, is a named tuple: a frozen dataclass takes five
times as long to make.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple


class JobState(StrEnum):
    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


#: A runner exists, or is about to: the job holds a slot of its queue.
ACTIVE_STATES = frozenset({JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING})
#: The job holds neither a slot nor its uniqueness key.
ENDED_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class Command(StrEnum):
    PAUSE = "PAUSE"
    PAUSE_NOW = "PAUSE_NOW"
    RESUME = "RESUME"
    RESTART = "RESTART"
    RESTART_FROM_STEP = "RESTART_FROM_STEP"
    RESTART_FROM_SCRATCH = "RESTART_FROM_SCRATCH"
    CANCEL = "CANCEL"
    FORCE_CANCEL = "FORCE_CANCEL"
    RETRY = "RETRY"


class Outcome(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class ItemState(StrEnum):
    PENDING = "PENDING"
    RETRY = "RETRY"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class RunnerLostPolicy(StrEnum):
    RESUME = "RESUME"
    HOLD = "HOLD"


class FindingKind(StrEnum):
    STUCK = "STUCK"
    SLOW = "SLOW"
    AT_RISK = "AT_RISK"


class RunEnd(StrEnum):
    """Why a run ended, as reaping found it."""

    FINISHED = "FINISHED"  # told to end, or nothing was left to do
    LOST = "LOST"  # gone without having been asked
    START_FAILED = "START_FAILED"


#: The code of a reason which lies in the input: what is resumed reads the same copy of it.
INPUT_UNUSABLE = "INPUT_UNUSABLE"


@dataclass(frozen=True)
class Reason:
    """Why a job is in its state. `code` is stable upper-snake; `remedy` is empty when nothing is to be done."""

    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Stop:
    """A stop that was asked for and is not yet fact.

    `revision` is that of the commit which asked or escalated: what goes down to the runner is a level with this number.
    """

    target: JobState  # PAUSED, CANCELLED, WAITING, FAILED, or QUEUED for a restart
    force: bool
    by: str
    reason: Reason
    time: float


class LabelCount(NamedTuple):
    outcome: Outcome
    label: str
    count: int  # type: ignore[assignment]  # of a tuple it would count its fields


class StepCounts(NamedTuple):
    """What the store counts of one step; what has left the line before it, and what is pending, is derived (P1)."""

    position: int
    name: str
    total: int
    total_known: bool
    succeeded: int
    failed: int
    skipped: int
    labels: tuple[LabelCount, ...] = ()
    start_time: float | None = None
    end_time: float | None = None


@dataclass(frozen=True)
class InputFile:
    """The copy of a job's input; `digest` is SHA-256 in hex, `file` its name within the job's folder."""

    file: str
    name: str
    size: int
    digest: str
    inline: bool = False


@dataclass(frozen=True)
class Job:
    """One row of `job`, with the counts of its steps.

    Times are Unix seconds. `operation` names the rewriting of rows that holds the job back (REWIND, RETRY), if any.
    """

    id: str
    sequence: int  # order of submission
    name: str
    state: JobState
    pipeline: str
    source_json: str  # where the definition came from: see `definition.Source`
    definition_json: str
    parameters_json: str
    queue: str
    priority: int
    create_time: float
    activity_time: float
    revision: int
    steps: tuple[StepCounts, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    reason: Reason | None = None
    stop: Stop | None = None
    stop_revision: int = 0
    start_time: float | None = None
    end_time: float | None = None
    scheduled_time: float | None = None
    queue_time: float | None = None
    run_count: int = 0
    resume_count: int = 0
    auto_resume_count: int = 0
    #: Tasks recorded (of the current records) when the last automatic resume was decided: progress resets the limit.
    auto_resume_mark: int = 0
    elapsed: float = 0.0  # of the runs that have ended
    runner_lost_policy: RunnerLostPolicy = RunnerLostPolicy.RESUME
    uniqueness_key: str | None = None
    python: str = ""
    working_directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    omitted_variables: tuple[str, ...] = ()
    input: InputFile | None = None
    submitted_by: str = ""
    operation: str | None = None
    retry_count: int = 0
    next_retry_time: float | None = None


@dataclass(frozen=True)
class Run:
    """One life of a job's runner. A pid counts only together with its start time and the boot it belongs to."""

    job_id: str
    number: int
    mark: str  # public id, in the environment of every process of the run
    token_hash: str  # SHA-256 in hex
    create_time: float
    cgroup: str | None = None  # folder of its control group, where it has one
    pid: int | None = None
    process_start_ticks: int | None = None
    boot_id: str | None = None
    hello_time: float | None = None
    end_time: float | None = None
    end: RunEnd | None = None


class TaskRef(NamedTuple):
    """A report applies only while the item still stands at this step with this epoch."""

    step: int
    item: int
    epoch: int


class PendingTask(NamedTuple):
    """What is handed to a runner."""

    step: int
    item: int
    epoch: int
    key: str
    position: int
    payload_json: str
    attempts_used: int
    lost: int
    previous: tuple[tuple[int, str], ...] = ()  # (step position, result as JSON)
    saved_json: str = ""

    @property
    def ref(self) -> TaskRef:
        return TaskRef(self.step, self.item, self.epoch)


class ReportKind(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    LOST = "LOST"
    RETURNED = "RETURNED"


@dataclass(frozen=True)
class Failure:
    error_class: str
    rule: str
    message: str
    traceback: str = ""
    remedy: str = ""
    retry_after: float = 0.0  # seconds


class Child(NamedTuple):
    key: str
    payload_json: str


class Report(NamedTuple):
    """How one execution of a task ended, as the runner saw it."""

    ref: TaskRef
    kind: ReportKind
    start_time: float
    end_time: float
    label: str = ""
    result_json: str = ""
    folder: str = ""
    failure: Failure | None = None
    children: tuple[Child, ...] = ()
    #: Which execution's children those are, and how many it gave in chunks before; 0: not known.
    enumeration: int = 0
    enumerated: int = 0


@dataclass(frozen=True)
class Completed:
    """Tasks of one step and epoch that succeeded, or were skipped, alike: each list has an entry for each of them."""

    step: int
    epoch: int
    kind: ReportKind
    label: str
    items: Sequence[int]
    results_json: Sequence[str]
    start_times: Sequence[float]
    end_times: Sequence[float]
    folders: Sequence[str]

    @staticmethod
    def of(reports: Sequence[Report]) -> "Completed":
        """`reports`: at least one, and all alike."""
        (step, _, epoch), kind, *_ = reports[0]
        return Completed(
            step,
            epoch,
            kind,
            reports[0].label,
            [report.ref.item for report in reports],
            [report.result_json for report in reports],
            [report.start_time for report in reports],
            [report.end_time for report in reports],
            [report.folder for report in reports],
        )

    @staticmethod
    def joined(groups: "Sequence[Completed]") -> "Completed":
        """`groups`: at least one, and all alike."""
        if len(groups) == 1:
            return groups[0]
        return replace(
            groups[0],
            items=[item for group in groups for item in group.items],
            results_json=[result for group in groups for result in group.results_json],
            start_times=[time for group in groups for time in group.start_times],
            end_times=[time for group in groups for time in group.end_times],
            folders=[folder for group in groups for folder in group.folders],
        )

    def reports(self) -> list[Report]:
        return [
            Report(TaskRef(self.step, item, self.epoch), self.kind, start, end, self.label, result, folder)
            for item, result, start, end, folder in zip(
                self.items, self.results_json, self.start_times, self.end_times, self.folders, strict=True
            )
        ]


@dataclass(frozen=True)
class Event:
    """One line of the append-only history. `id` is 0 until it is stored."""

    kind: str
    time: float
    by: str
    client: str = ""
    message: str = ""
    from_state: JobState | None = None
    to_state: JobState | None = None
    job_id: str = ""
    id: int = 0
    revision: int = 0
