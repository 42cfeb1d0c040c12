"""Times as Unix seconds, and as Timestamp and Duration."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

MICROSECONDS = 1_000_000
#: What protobuf can hold, in seconds: the years 1 to 9999, and as long a duration to either side.
FIRST_TIME = -62_135_596_800.0
LAST_TIME = 253_402_300_799.0
_LONGEST = 315_576_000_000.0


def timestamp(seconds: float | None) -> Timestamp | None:
    """None stays None, so that the field remains unset. A time that does not fit becomes the nearest that does."""
    if seconds is None:
        return None
    whole, micros = divmod(_micros(FIRST_TIME, seconds, LAST_TIME), MICROSECONDS)
    return Timestamp(seconds=whole, nanos=micros * 1000)


def unix_seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9


def duration(seconds: float | None) -> Duration | None:
    """None stays None. What does not fit, and what is negative, becomes the nearest that does."""
    if seconds is None:
        return None
    whole, micros = divmod(_micros(0.0, seconds, _LONGEST), MICROSECONDS)
    return Duration(seconds=whole, nanos=micros * 1000)


def write_timestamp(message: Timestamp, seconds: float) -> None:
    """As `timestamp`, into a message that is there."""
    message.seconds, micros = divmod(_micros(FIRST_TIME, seconds, LAST_TIME), MICROSECONDS)
    message.nanos = micros * 1000


def write_duration(message: Duration, seconds: float) -> None:
    """As `duration`, into a message that is there."""
    message.seconds, micros = divmod(_micros(0.0, seconds, _LONGEST), MICROSECONDS)
    message.nanos = micros * 1000


def _micros(low: float, value: float, high: float) -> int:
    """Of the value, or of the bound next to it. NaN becomes the lower one."""
    within = value if low <= value <= high else min(max(low, value), high)
    return round(within * MICROSECONDS)
