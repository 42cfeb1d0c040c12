"""Commands on many jobs at a time, none of whose runners answers."""

import signal

import pytest

from milepost.core.model import JobState
from milepost.daemon.rpc import job_service
from milepost.daemon.store import jobs
from tests.support.cli import start_cli
from tests.support.in_process import in_process_daemon
from tests.support.wait import wait_until


async def test_no_job_waits_for_the_runner_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_service, "HOLDING_TIMEOUT", 600.0)  # whoever waits for an answer waits for all of the test
    names = [f"j-{number:08}" for number in range(100)]
    async with in_process_daemon() as daemon:
        for name in names:
            await daemon.insert(name, state=JobState.RUNNING, queue_time=None)
        environment = {"MILEPOST_STATE_DIR": str(daemon.folder), "HOME": str(daemon.folder)}
        cancelling = await start_cli(environment, "cancel", *names, "--yes")

        async def all_told() -> bool:
            return await daemon.store.read(lambda db: all(jobs.get(db, name).stop for name in names))

        await wait_until(all_told, "all of them are to end")
        cancelling.process.send_signal(signal.SIGINT)
        assert (await cancelling.end()).out == ""
