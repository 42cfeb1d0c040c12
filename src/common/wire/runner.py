"""Between the runner protocol's messages and the model. What comes from a runner is checked by what applies it."""

from milepost.common.wire.times import LAST_TIME
from milepost.core.model import Child, Failure, PendingTask, Report, ReportKind, TaskRef
from milepost.core.retry import bounded_retry_after
from milepost.v1 import runner_service_pb2 as pb

_KINDS = {
    pb.REPORT_KIND_SUCCEEDED: ReportKind.SUCCEEDED,
    pb.REPORT_KIND_SKIPPED: ReportKind.SKIPPED,
    pb.REPORT_KIND_FAILED: ReportKind.FAILED,
    pb.REPORT_KIND_LOST: ReportKind.LOST,
    pb.REPORT_KIND_RETURNED: ReportKind.RETURNED,
}
_MICROSECOND = 1e-6


def ref_from_proto(ref: pb.TaskRef) -> TaskRef:
    return TaskRef(ref.step, ref.item, ref.epoch)


def ref_to_proto(ref: TaskRef) -> pb.TaskRef:
    return pb.TaskRef(step=ref.step, item=ref.item, epoch=ref.epoch)


def report_from_proto(report: pb.Report) -> Report:
    """Raises KeyError for a kind that does not exist."""
    task = report.task
    return Report(
        TaskRef(task.step, task.item, task.epoch),
        _KINDS[report.kind],
        _time(report.start_us),
        _time(report.end_us),
        report.label,
        report.result_json,
        report.folder,
        failure_from_proto(report.failure) if report.HasField("failure") else None,
        tuple(Child(child.key, child.payload_json) for child in report.children),
        report.enumeration,
        report.enumerated,
    )


def failure_from_proto(failure: pb.TaskFailure) -> Failure:
    return Failure(
        error_class=failure.error_class or "error",
        rule=failure.rule,
        message=failure.message,
        traceback=failure.traceback,
        remedy=failure.remedy,
        retry_after=bounded_retry_after(failure.retry_after_seconds),
    )


def _time(microseconds: int) -> float:
    return min(max(0.0, microseconds * _MICROSECOND), LAST_TIME)


def task_to_proto(task: PendingTask) -> pb.Task:
    return pb.Task(
        step=task.ref.step,
        item=task.ref.item,
        epoch=task.ref.epoch,
        key=task.key,
        attempts_used=task.attempts_used,
        lost=task.lost,
        payload_json=task.payload_json,
        previous=[pb.Previous(step=step, result_json=result) for step, result in task.previous],
        saved_json=task.saved_json,
        position=task.position,
    )
