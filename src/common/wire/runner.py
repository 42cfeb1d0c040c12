"""Between the runner protocol's messages and the model. What comes from a runner is checked by what applies it."""

from collections.abc import Iterable

from milepost.common.wire.times import LAST_TIME, MICROSECONDS
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
#: What ended the attempt, or its worker, is said.
_EXPLAINED = (pb.REPORT_KIND_FAILED, pb.REPORT_KIND_LOST)
_MICROSECOND = 1e-6
_LAST_TIME_US = int(LAST_TIME) * MICROSECONDS


def ref_from_proto(ref: pb.TaskRef) -> TaskRef:
    return TaskRef(ref.step, ref.item, ref.epoch)


def ref_to_proto(ref: TaskRef) -> pb.TaskRef:
    return pb.TaskRef(step=ref.step, item=ref.item, epoch=ref.epoch)


def report_from_proto(report: pb.Report) -> Report:
    """Raises KeyError for a kind that does not exist."""
    # Of a message each field costs more than the call that takes it: what most reports do not have is not asked for.
    task = report.task
    explained = report.kind in _EXPLAINED and report.HasField("failure")
    return Report(
        TaskRef(task.step, task.item, task.epoch),
        _KINDS[report.kind],
        _time(report.start_us),
        _time(report.end_us),
        report.label,
        report.result_json,
        report.folder,
        failure_from_proto(report.failure) if explained else None,
        tuple([Child(child.key, child.payload_json) for child in report.children]),
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
    if 0 <= microseconds <= _LAST_TIME_US:
        return microseconds * _MICROSECOND
    return LAST_TIME if microseconds > 0 else 0.0


def page_to_proto(tasks: Iterable[PendingTask]) -> pb.Page:
    # Field by field is half the price of keywords, and there are thousands a second.
    page = pb.Page()
    for task in tasks:
        message = page.tasks.add()
        message.step, message.item, message.epoch = task.ref
        message.key = task.key
        message.position = task.position
        message.payload_json = task.payload_json
        message.attempts_used = task.attempts_used
        message.lost = task.lost
        if task.saved_json:
            message.saved_json = task.saved_json
        for step, result in task.previous:
            message.previous.add(step=step, result_json=result)
    return page
