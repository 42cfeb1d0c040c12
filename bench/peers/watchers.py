"""Watchers of a daemon's jobs, each on a connection of its own: `watchers.py SOCKET NUMBER`.

Says when all have caught up; at a line on stdin prints as JSON what some of them saw, each as a list of [job, tasks
succeeded, Unix time], and how many bytes each of all of them got. Nothing is parsed before that line: every watcher
gets every byte, some keep theirs with the time, and this program does not take the processor from the daemon.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import grpc
import grpc.aio

from milepost.common.client import CHANNEL_OPTIONS
from milepost.v1 import job_service_pb2 as pb

METHOD = "/milepost.v1.JobService/WatchJobs"
#: Every so many watchers one is measured, from the first that began to watch to the last.
_EACH = 25


@dataclass
class Watcher:
    """`received`: bytes in all; `kept`: when a message came, and the message, of one that is measured."""

    measured: bool
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    received: int = 0
    kept: list[tuple[float, bytes]] = field(default_factory=list)

    async def watch(self, socket: str) -> None:
        request = pb.WatchJobsRequest().SerializeToString()
        async with grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS) as channel:
            method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(METHOD)
            async for message in method(request):
                if not self.caught_up.is_set():
                    if pb.WatchJobsResponse.FromString(message).caught_up:
                        self.caught_up.set()
                    continue
                self.received += len(message)
                if self.measured:
                    self.kept.append((time.time(), message))

    def seen(self) -> list[tuple[str, int, float]]:
        return [
            (job.id, job.steps[1].counts.succeeded, when)
            for when, message in self.kept
            for job in pb.WatchJobsResponse.FromString(message).jobs
        ]


async def main(socket: str, number: int) -> None:
    measured = {*range(0, number, _EACH), number - 1}
    watchers = [Watcher(position in measured) for position in range(number)]
    watches = [asyncio.create_task(watcher.watch(socket)) for watcher in watchers]
    for watcher in watchers:
        await watcher.caught_up.wait()
    print("caught up", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    seen = [watcher.seen() for watcher in watchers if watcher.measured]
    print(json.dumps({"seen": seen, "bytes": [watcher.received for watcher in watchers]}))
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
