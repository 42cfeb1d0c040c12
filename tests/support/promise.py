"""Jobs of tests/pipelines/promise.py under a real daemon: how many items may pass, and what was recorded of them."""

import json
import os
from typing import Any

from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import PIPELINES, RealDaemon, counts_of


def let_pass(daemon: RealDaemon, items: int) -> None:
    """So many items may pass `work`; the others wait in flight."""
    partial = daemon.gate.with_name("gate.new")
    partial.write_text(str(items))
    partial.replace(daemon.gate)


async def submit(daemon: RealDaemon, pipeline: str, *, count: int, **parameters: Any) -> job_pb2.Job:
    given = {"count": count, "effects": str(daemon.effects_file), "gate": str(daemon.gate), **parameters}
    source = job_service_pb2.PythonPipeline(file=str(PIPELINES / "promise.py"), name=pipeline)
    request = job_service_pb2.SubmitJobRequest(python_pipeline=source, parameters_json=json.dumps(given))
    return (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job


async def recorded(daemon: RealDaemon, job_id: str, succeeded: int, in_flight: int) -> job_pb2.Job:
    """When so many items have passed `work` durably, and so many wait at the gate."""
    return await daemon.wait_for(
        job_id,
        lambda job: (counts_of(job, "work").succeeded, counts_of(job, "work").in_flight) == (succeeded, in_flight),
        f"{succeeded} are recorded, {in_flight} are in flight",
    )


async def attempts(daemon: RealDaemon, job_id: str) -> list[str]:
    """Keys of the failed attempts."""
    request = job_service_pb2.ListAttemptsRequest(job=job_id, page_size=1000)
    found = await daemon.client.call(daemon.client.jobs.ListAttempts, request)
    return sorted(attempt.item_key for attempt in found.attempts)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
