"""A second kill while the first is being recovered from.

Each sixth pair, unless `MILEPOST_CRASH_PROFILE` asks for all.
"""

import os

import pytest

from tests.crash.drill import Kill
from tests.crash.scenarios import play

#: The runner ends while tasks execute, then the daemon while it reaps and starts the next one.
RUNNER_THEN_DAEMON = [
    ("runner.link.send_hello:after:1", "daemon.runners.reap:after:1"),
    ("runner.link.write:after:4", "daemon.reconcile.reap:before:1"),
    ("runner.worker.send:after:3", "daemon.runners.end_tree:after:1"),
    ("runner.worker.send:after:3", "daemon.reconcile.reap:after:1"),
    ("runner.link.write:before:5", "daemon.runners.start:before:2"),
    ("runner.link.write:before:5", "daemon.runners.start:after:2"),
]
#: The daemon ends, and its successor while it opens the store, takes its place, or meets the runner.
DAEMON_THEN_DAEMON = [
    ("daemon.runners.start:after:1", "daemon.paths.place_socket:after:2"),
    ("daemon.runners.start:after:1", "daemon.dispatch.send_welcome:before:1"),
    ("daemon.session.send_page:after:2", "daemon.dispatch.send_welcome:after:2"),
    ("daemon.store.commit:before:7", "daemon.store.commit:after:8"),
    ("daemon.store.commit:after:7", "daemon.store.commit:before:8"),
    ("daemon.session.send_ack:before:1", "daemon.session.send_ack:before:2"),
]
#: The worker ends, then the runner that has to say so.
WORKER_THEN_RUNNER = [
    ("worker.channel.write:before:3", "runner.children.reap:before:1"),
    ("worker.channel.write:after:3", "runner.children.start:after:2"),
]


PAIRS = [*RUNNER_THEN_DAEMON, *DAEMON_THEN_DAEMON, *WORKER_THEN_RUNNER]
if "MILEPOST_CRASH_PROFILE" not in os.environ:
    PAIRS = PAIRS[::6]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_a_second_kill(first: str, second: str) -> None:
    kills = [Kill(place, int(number)) for place, _, number in (text.rpartition(":") for text in (first, second))]
    drill = await play("journey", *kills)
    assert drill.fired == kills
