"""Serves a watch of N jobs with U updates a second on a socket, as the daemon would: feeder.py SOCKET N U."""

# mypy: disable-error-code="abstract"
# ruff: noqa: ARG002, N802
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

import milepost
from milepost.v1 import daemon_service_pb2, daemon_service_pb2_grpc, job_pb2, job_service_pb2_grpc
from milepost.v1 import job_service_pb2 as pb

FRAME = 0.025
CHUNK = 100
STATES = (
    [job_pb2.JOB_STATE_RUNNING] * 20
    + [job_pb2.JOB_STATE_QUEUED] * 20
    + [job_pb2.JOB_STATE_COMPLETED] * 50
    + [job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_PAUSED, job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_WAITING]
)


def document(number: int) -> job_pb2.Job:
    """The size of what the daemon sends: three steps, and every action with its words."""
    state = STATES[number % len(STATES)]
    job = job_pb2.Job(id=f"j-{number:08x}", name=f"import customers {number}", state=state, pipeline="customers")
    job.create_time.seconds = 1_700_000_000 + number
    job.activity_time.seconds = job.create_time.seconds
    job.counts.CopyFrom(job_pb2.Counts(total=1000, succeeded=number % 1000, pending=1000 - number % 1000))
    job.counts.processed, job.counts.total_known = job.counts.succeeded, True
    job.progress.percent = job.counts.succeeded / 10
    for position, name in enumerate(("rows", "fetch", "score")):
        job.steps.add(name=name, position=position, takes="each", gives="one").counts.CopyFrom(job.counts)
    for command in job_pb2.Command.values()[1:]:
        action = job.actions.add(command=command, allowed=command % 2 == 0)
        action.effect = "starts nothing more, completes what is in flight, then pauses; what is recorded is kept"
    return job


class Feeder(job_service_pb2_grpc.JobServiceServicer, daemon_service_pb2_grpc.DaemonServiceServicer):
    def __init__(self, count: int, updates: int) -> None:
        self.jobs = [document(number) for number in range(count)]
        self.updates = updates
        self.running = [job for job in self.jobs if job.state == job_pb2.JOB_STATE_RUNNING]

    async def GetInfo(self, request: Any, context: Any) -> daemon_service_pb2.GetInfoResponse:
        return daemon_service_pb2.GetInfoResponse(
            version=milepost.__version__, jobs_by_state={"RUNNING": len(self.jobs)}
        )

    async def GetStats(self, request: Any, context: Any) -> daemon_service_pb2.GetStatsResponse:
        return daemon_service_pb2.GetStatsResponse()

    async def WatchJobs(self, request: Any, context: Any) -> AsyncIterator[pb.WatchJobsResponse]:
        for start in range(0, len(self.jobs), CHUNK):
            yield pb.WatchJobsResponse(jobs=self.jobs[start : start + CHUNK])
        yield pb.WatchJobsResponse(caught_up=True, watch_token="1:1")
        owed, last = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(FRAME)
            now = time.monotonic()
            owed, last = owed + (now - last) * self.updates, now
            if owed >= 1:
                yield pb.WatchJobsResponse(jobs=[self._changed() for _ in range(int(owed))])
                owed -= int(owed)

    def _changed(self) -> job_pb2.Job:
        job = random.choice(self.running)
        job.counts.succeeded = job.counts.processed = (job.counts.succeeded + 1) % 1000
        job.progress.percent = job.counts.succeeded / 10
        job.progress.rate = random.random() * 50
        job.activity_time.seconds = int(time.time())
        return job


async def main() -> None:
    socket, count, updates = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    server = grpc.aio.server()
    feeder = Feeder(count, updates)
    job_service_pb2_grpc.add_JobServiceServicer_to_server(feeder, server)
    daemon_service_pb2_grpc.add_DaemonServiceServicer_to_server(feeder, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
