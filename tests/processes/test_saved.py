"""A task finds what it saved when it runs again, and can see that it should stop (J16)."""

import os
import signal

from milepost.core.model import JobState
from milepost.v1 import job_service_pb2
from tests.support.daemon import RealDaemon


async def test_saved_state_outlives_the_runner(daemon: RealDaemon) -> None:
    job = await daemon.submit("saving.py")
    await daemon.wait_effects(1)
    os.kill(daemon.runner_pid(job.id), signal.SIGKILL)
    await daemon.wait_effects(2)
    daemon.gate.touch()
    await daemon.wait_state(job.id, JobState.COMPLETED)
    assert daemon.effects() == {"from-0": 1, "from-5": 1}


async def test_a_task_sees_that_it_should_stop_and_why(daemon: RealDaemon) -> None:
    job = await daemon.submit("saving.py")
    await daemon.wait_effects(1)
    request = job_service_pb2.CancelJobRequest(job=job.id, reason="wrong book")
    await daemon.client.call(daemon.client.jobs.CancelJob, request)
    await daemon.wait_state(job.id, JobState.COMPLETED)
    assert any("wrong book" in reason for reason in daemon.effects("stop"))
