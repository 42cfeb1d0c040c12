"""What a worker owes an answer to, and for how long; the process itself is in tests/processes."""

import time

import pytest

from milepost.runner.frames import FrameError, Tasks
from milepost.runner.worker import Worker

TASKS = Tasks("fetch", "fetch", [1], [1], ["one"], [])


def test_only_time_in_which_the_runner_listened_counts_as_silence() -> None:
    worker = Worker(1)
    now = time.monotonic()
    for second in range(1, 4):
        worker.look(now + second)
    assert 2.9 < worker.silence <= 3.0, "it has not imported the pipeline yet"
    worker.look(now + 600)  # the runner was stopped, and what was answered meanwhile has not been read
    assert worker.silence <= 4.0
    worker.ready()
    worker.look(now + 601)  # asks
    assert worker.silence == 0.0
    worker.look(now + 602)
    assert worker.silence == 1.0
    worker.pong(1)
    assert worker.silence == 0.0


def test_a_worker_whose_tasks_have_begun_is_settled_at_once() -> None:
    worker = Worker(1)
    worker.ready()
    worker.send_tasks(TASKS, ["{}"])
    worker.pong(1)
    worker.settle()
    assert worker.is_settled


def test_a_worker_is_settled_when_the_last_of_its_tasks_have_begun() -> None:
    worker = Worker(1)
    worker.ready()
    worker.send_tasks(TASKS, ["{}"])
    worker.send_tasks(TASKS, ["{}"])  # behind the only ping that may be under way
    worker.settle()
    worker.pong(1)
    assert not worker.is_settled
    worker.pong(2)
    assert worker.is_settled


def test_a_busy_worker_that_answers_is_not_silent() -> None:
    worker = Worker(1)
    worker.ready()
    now = time.monotonic()
    worker.look(now + 1)
    worker.pong(1)
    worker.send_tasks(TASKS, ["{}"])
    worker.look(now + 2)  # the ping behind the tasks has just gone out
    assert worker.silence == 0.0


def test_a_worker_that_answers_what_was_not_asked_breaks_the_protocol() -> None:
    worker = Worker(1)
    worker.ready()
    with pytest.raises(FrameError, match="ping 7"):
        worker.pong(7)
