"""When a failed task is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core.definition import RetryPolicy
from milepost.core.model import Failure
from milepost.core.retry import FINAL_CLASSES, after_failure

POLICY = RetryPolicy()
NETWORK = Failure("network", "connection", "refused")


def test_defaults_are_three_attempts_five_seconds_doubling_to_a_minute() -> None:
    assert after_failure(POLICY, 1, NETWORK, 100.0, 0.0) == 105.0
    assert after_failure(POLICY, 2, NETWORK, 100.0, 0.0) == 110.0
    assert after_failure(POLICY, 3, NETWORK, 100.0, 0.0) is None
    assert after_failure(RetryPolicy(attempts=100), 60, NETWORK, 100.0, 0.0) == 160.0


@pytest.mark.parametrize("error_class", sorted(FINAL_CLASSES))
def test_some_classes_are_final(error_class: str) -> None:
    assert after_failure(POLICY, 1, Failure(error_class, "", ""), 100.0, 0.0) is None


def test_retry_after_is_never_undercut() -> None:
    limited = Failure("rate_limited", "429", "slow down", retry_after=30.0)
    assert after_failure(POLICY, 1, limited, 100.0, 1.0) == 130.0


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_delay_stays_within_the_cap(attempt: int, jitter: float) -> None:
    due = after_failure(RetryPolicy(attempts=20_000), attempt, NETWORK, 0.0, jitter)
    assert due is not None
    assert 3.75 <= due <= 60.0
