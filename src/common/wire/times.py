"""Times as Unix seconds, and as Timestamp and Duration."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

MICROSECONDS = 1_000_000


def timestamp(seconds: float | None) -> Timestamp | None:
    """None stays None, so that the field remains unset."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * MICROSECONDS), MICROSECONDS)
    return Timestamp(seconds=whole, nanos=micros * 1000)


def unix_seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9


def duration(seconds: float | None) -> Duration | None:
    """Of a time that is not negative; None stays None."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * MICROSECONDS), MICROSECONDS)
    return Duration(seconds=whole, nanos=micros * 1000)
