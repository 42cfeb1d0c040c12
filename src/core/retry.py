"""When a failed task is tried again."""

from milepost.core.definition import RetryPolicy
from milepost.core.model import Failure

#: The class of a task whose workers died under it.
LOST_WORKER = "lost_worker"
#: The class of an input, or a line of it, that cannot be used as it is.
CORRUPT_SOURCE = "corrupt_source"
#: What an enumeration fails with when its items repeat a key that must not be repeated.
DUPLICATE = "duplicate"
#: Classes that another attempt cannot mend.
FINAL_CLASSES = frozenset(
    {
        "persistent",
        "configuration",
        "credentials",
        "missing_dependency",
        "bad_request",
        "not_found",
        "invalid_result",
        "result_too_large",
        LOST_WORKER,
        CORRUPT_SOURCE,
        "needs_operator",
        DUPLICATE,
        "bug",
    }
)
#: Nobody is waited for longer, in seconds, whatever a Retry-After says.
LONGEST_RETRY_AFTER = 7 * 86400.0
#: A worker may die this often under a task before it counts as the task's fault (LOST_WORKER).
LOST_LIMIT = 3


def bounded_retry_after(seconds: float) -> float:
    """Of what a worker says, which may be any number: from 0 to LONGEST_RETRY_AFTER, 0 for NaN."""
    return float(min(seconds, LONGEST_RETRY_AFTER)) if seconds > 0 else 0.0


def after_failure(policy: RetryPolicy, attempts_used: int, failure: Failure, now: float, jitter: float) -> float | None:
    """Time of the next attempt, or None to give up.

    `attempts_used` counts the one that just failed; `jitter` is in 0..1 and moves the delay down by up to a quarter, so
    that tasks which failed together do not come back together. A Retry-After is never undercut.
    """
    if failure.error_class in FINAL_CLASSES or attempts_used >= policy.attempts:
        return None
    delay = min(policy.cap, policy.base * policy.factor ** min(attempts_used - 1, 60)) * (1 - 0.25 * jitter)
    return now + max(delay, failure.retry_after)
