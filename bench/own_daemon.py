"""A daemon of the run's own, and the jobs of `pipelines.py` on it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from milepost.core.model import ENDED_STATES, JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon, state_of

PIPELINES = Path(__file__).with_name("pipelines.py")
DEADLINE = 600.0
_PAUSE = 0.25


async def submit(daemon: RealDaemon, pipeline: str, **parameters: object) -> str:
    """The id of a job of one of the pipelines."""
    request = job_service_pb2.SubmitJobRequest(
        python_pipeline=job_service_pb2.PythonPipeline(file=str(PIPELINES), name=pipeline),
        parameters_json=json.dumps(parameters),
        allow_duplicate=True,
    )
    return await _submitted(daemon, request)


async def submit_command(daemon: RealDaemon, argv: list[str], input_file: Path, concurrency: int) -> str:
    request = job_service_pb2.SubmitJobRequest(
        command_pipeline=job_service_pb2.CommandPipeline(argv=argv, concurrency=concurrency),
        input_path=str(input_file),
        allow_duplicate=True,
    )
    return await _submitted(daemon, request)


async def _submitted(daemon: RealDaemon, request: job_service_pb2.SubmitJobRequest) -> str:
    return (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job.id


async def completed(
    daemon: RealDaemon, job_id: str, meanwhile: Callable[[job_pb2.Job], None] = lambda _: None
) -> job_pb2.Job:
    """The job when it has completed; until then `meanwhile` sees it now and then."""
    async with asyncio.timeout(DEADLINE):
        while state_of(job := await daemon.job(job_id)) not in ENDED_STATES:
            meanwhile(job)
            await asyncio.sleep(_PAUSE)
    if state_of(job) is not JobState.COMPLETED or job.counts.failed:
        raise RuntimeError(
            f"{job_id} did not complete: {job}\n{daemon.log()[-2000:]}\n{daemon.run_log(job_id)[-2000:]}"
        )
    return job


def seconds(job: job_pb2.Job, first: str, last: str) -> float:
    """From the start of the first task of one step to the end of the last task of another."""
    steps = {step.name: step for step in job.steps}
    return (steps[last].end_time.ToNanoseconds() - steps[first].start_time.ToNanoseconds()) / 1e9
