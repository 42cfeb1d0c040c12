"""How long a worker has owed an answer, as looks each second have it; the process itself is in tests/processes."""

import time

from milepost.runner.worker import Worker


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
