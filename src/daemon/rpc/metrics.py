"""The metrics of a job as a message."""

from collections.abc import Iterable

from milepost.common.wire.times import duration, timestamp
from milepost.core.definition import PipelineDefinition
from milepost.core.metrics import Summary, Timeline
from milepost.daemon.store.metrics import Metrics
from milepost.v1 import job_service_pb2 as pb

_NONE = Summary()


def metrics_message(metrics: Metrics, definition: PipelineDefinition) -> pb.GetJobMetricsResponse:
    over = metrics.timeline
    return pb.GetJobMetricsResponse(
        steps=[
            pb.StepMetrics(
                step=step.name,
                executions=_summary(metrics.executions.get(step.position, _NONE)),
                failed_attempts=_summary(metrics.failed_attempts.get(step.position, _NONE)),
            )
            for step in definition.steps
        ],
        throughput=() if over is None else _points(over, metrics.processed),
        throughput_width=None if over is None else duration(over.width),
        failures=[pb.FailureCount(error_class=name, count=count) for name, count in metrics.failures],
    )


def _points(over: Timeline, processed: Iterable[int]) -> list[pb.ThroughputPoint]:
    return [
        pb.ThroughputPoint(start_time=timestamp(over.start + number * over.width), processed=count)
        for number, count in enumerate(processed)
    ]


def _summary(summary: Summary) -> pb.DurationSummary:
    return pb.DurationSummary(
        count=summary.count,
        mean_seconds=summary.mean,
        min_seconds=summary.shortest,
        p50_seconds=summary.p50,
        p90_seconds=summary.p90,
        p99_seconds=summary.p99,
        max_seconds=summary.longest,
        buckets=[pb.DurationBucket(upper_seconds=bucket.upper, count=bucket.count) for bucket in summary.buckets],
    )
