"""Watchers of a daemon's jobs, each on a connection of its own: `watchers.py SOCKET NUMBER`.

Says when all have caught up; at a line on stdin prints what the first one saw as JSON: [job, tasks succeeded, Unix
time]. The others only read the bytes, so that this program does not take the processor from the daemon.
"""

import asyncio
import json
import sys
import time

import grpc
import grpc.aio

from milepost.common.client import CHANNEL_OPTIONS
from milepost.v1 import job_service_pb2 as pb

METHOD = "/milepost.v1.JobService/WatchJobs"


async def watch(socket: str, caught_up: asyncio.Event, seen: list[tuple[str, int, float]] | None) -> None:
    request = pb.WatchJobsRequest().SerializeToString()
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS) as channel:
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(METHOD)
        async for message in method(request):
            if seen is None:
                caught_up.set()
                continue
            now = time.time()
            response = pb.WatchJobsResponse.FromString(message)
            seen.extend((job.id, job.steps[1].counts.succeeded, now) for job in response.jobs)
            if response.caught_up:
                caught_up.set()


async def main(socket: str, number: int) -> None:
    seen: list[tuple[str, int, float]] = []
    all_caught_up = [asyncio.Event() for _ in range(number)]
    watches = [
        asyncio.create_task(watch(socket, caught_up, seen if position == 0 else None))
        for position, caught_up in enumerate(all_caught_up)
    ]
    for caught_up in all_caught_up:
        await caught_up.wait()
    seen.clear()
    print("caught up", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(seen))
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
