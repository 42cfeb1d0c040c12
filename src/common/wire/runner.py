"""Between the runner protocol's messages and the model. What comes from a runner is checked by what applies it."""

from collections.abc import Iterator, Sequence

from milepost.common.wire.times import LAST_TIME, MICROSECONDS
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Child, Completed, Failure, PendingTask, Report, ReportKind, TaskRef
from milepost.core.retry import bounded_retry_after
from milepost.v1 import runner_service_pb2 as pb

#: Of the messages of `RunnerService`, and of the spool, which holds some of them. Daemon and runner can be of different
#: versions: a runner outlives its daemon, and files are changed under a running one. Both go on only with the same
#: number, so raise it whenever a message changes so that the other side would misread or ignore what it is told: with
#: every field that is added, taken away, or read differently. 1 and 2 were spools before there was a number.
PROTOCOL = 3

_KINDS = {
    pb.REPORT_KIND_SUCCEEDED: ReportKind.SUCCEEDED,
    pb.REPORT_KIND_SKIPPED: ReportKind.SKIPPED,
    pb.REPORT_KIND_FAILED: ReportKind.FAILED,
    pb.REPORT_KIND_LOST: ReportKind.LOST,
    pb.REPORT_KIND_RETURNED: ReportKind.RETURNED,
}
COMPLETED = (pb.REPORT_KIND_SUCCEEDED, pb.REPORT_KIND_SKIPPED)
#: What ended the attempt, or its worker, is said.
_EXPLAINED = (pb.REPORT_KIND_FAILED, pb.REPORT_KIND_LOST)
_MICROSECOND = 1e-6
_LAST_TIME_US = int(LAST_TIME) * MICROSECONDS


def ref_from_proto(ref: pb.TaskRef) -> TaskRef:
    return TaskRef(ref.step, ref.item, ref.epoch)


def ref_to_proto(ref: TaskRef) -> pb.TaskRef:
    return pb.TaskRef(step=ref.step, item=ref.item, epoch=ref.epoch)


def report_from_proto(report: pb.Report) -> Report:
    """Raises KeyError for a kind that does not exist, MilepostError(INVALID_ARGUMENT) as `children_from_proto`."""
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
        tuple(children_from_proto(report.children)) if report.HasField("children") else (),
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


def completed_from_proto(completed: pb.Completed) -> Completed:
    """Raises MilepostError(INVALID_ARGUMENT) for another kind, and for columns that differ in length."""
    # A slice is a list: one call for a column, not one for each of its values.
    items, results, folders = completed.items[:], completed.results_json[:], completed.folders[:]
    start_us, end_us = completed.start_us[:], completed.end_us[:]
    columns = results, start_us, end_us, folders or items
    if completed.kind not in COMPLETED or any(len(column) != len(items) for column in columns) or not items:
        raise MilepostError(Code.INVALID_ARGUMENT, "A runner sent a group of completed tasks that makes no sense.")
    return Completed(
        completed.step,
        completed.epoch,
        _KINDS[completed.kind],
        completed.label,
        items,
        results,
        _times(start_us),
        _times(end_us),
        folders or [""] * len(items),
    )


def children_from_proto(given: pb.GivenItems) -> list[Child]:
    """Raises MilepostError(INVALID_ARGUMENT) for columns that differ in length."""
    keys, payloads = given.keys[:], given.payloads_json[:]
    if len(keys) != len(payloads):
        raise MilepostError(Code.INVALID_ARGUMENT, "A runner sent children that make no sense.")
    return list(map(Child, keys, payloads))


def children_to_proto(children: Sequence[tuple[str, str]]) -> pb.GivenItems:
    """`children`: pairs of key and payload."""
    keys, payloads = zip(*children, strict=True) if children else ((), ())
    return pb.GivenItems(keys=keys, payloads_json=payloads)


def reported(batch: pb.Batch) -> Iterator[pb.TaskRef]:
    """Every task that the batch has the end of."""
    for alike in batch.completed:
        for item in alike.items:
            yield pb.TaskRef(step=alike.step, item=item, epoch=alike.epoch)
    for report in batch.reports:
        yield report.task


def _times(microseconds: Sequence[int]) -> list[float]:
    if min(microseconds) >= 0 and max(microseconds) <= _LAST_TIME_US:
        return [one * _MICROSECOND for one in microseconds]
    return [_time(one) for one in microseconds]


def page_to_proto(tasks: Sequence[PendingTask]) -> pb.Page:
    """`tasks`: of one step, at least one."""
    steps, items, epochs, keys, positions, payloads, *_ = zip(*tasks, strict=True)
    histories = [
        pb.History(
            index=index,
            attempts_used=task.attempts_used,
            lost=task.lost,
            previous=[pb.Previous(step=step, result_json=result) for step, result in task.previous],
            saved_json=task.saved_json,
        )
        for index, task in enumerate(tasks)
        if task.attempts_used or task.lost or task.previous or task.saved_json
    ]
    return pb.Page(
        step=steps[0],
        items=items,
        epochs=epochs,
        keys=keys,
        positions=positions,
        payloads_json=payloads,
        histories=histories,
    )
