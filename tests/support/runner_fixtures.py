"""Fixtures for tests of the runner: a folder with a short path, a scripted daemon, and runners that leave nothing."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from milepost.common.processes import identify, kill_tree
from milepost.common.wire.runner import PROTOCOL
from milepost.v1 import runner_service_pb2 as pb
from tests.support.fake_daemon import FakeDaemon, RunnerProcess

Start = Callable[[], RunnerProcess]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A job's folder: short, because the path of a socket is at most 100 bytes long."""
    path = Path(tempfile.mkdtemp(prefix="mp-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def daemon(folder: Path) -> AsyncIterator[FakeDaemon]:
    daemon = FakeDaemon(folder / "socket", pb.Welcome(folder=str(folder), lease_seconds=30, protocol=PROTOCOL))
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture
def start_runner(daemon: FakeDaemon, folder: Path) -> Iterator[Start]:
    """Runners of the test; after it, not one process of their trees may be left."""
    started: list[RunnerProcess] = []

    def start() -> RunnerProcess:
        started.append(RunnerProcess(daemon, folder, mark=f"test-{folder.name}"))
        return started[-1]

    yield start
    for runner in started:
        print(runner.log.read_text())
        assert kill_tree(runner.mark, identify(runner.process.pid), 10) == []
        runner.end()
