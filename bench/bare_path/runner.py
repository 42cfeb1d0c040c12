"""Passes tasks to the worker and its results to the daemon; at most two batches are on the way."""

import asyncio
import json
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
messages, services = grpc.protos_and_services("bare.proto")

BATCH = 1000
ON_THE_WAY = 2
CONCURRENCY = 256
FRAME = 1 << 24


class Runner:
    def __init__(self, stream: Any, count: int) -> None:  # Any: gRPC's call, made at run time
        self._stream = stream
        self._count = count
        self._finished: list[Any] = []
        self._sent: deque[tuple[int, int]] = deque()
        self._wake = asyncio.Event()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until every task is acknowledged."""
        loops = [asyncio.create_task(self._hear(reader)), asyncio.create_task(self._send())]
        done = 0
        while done < self._count:
            response = await self._stream.read()
            if response.tasks:
                rows = b",".join(b'["%b",%b]' % (task.key.encode(), task.payload) for task in response.tasks)
                writer.write(b"[" + rows + b"]\n")
            while self._sent and self._sent[0][0] <= response.acknowledged:
                done += self._sent.popleft()[1]
            self._wake.set()
        for loop in loops:
            loop.cancel()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._finished.extend(
                messages.Report(
                    key=key, step="work", outcome=1, result=json.dumps(result).encode(), start_us=start, end_us=end
                )
                for key, result, start, end in json.loads(line)
            )
            self._wake.set()

    async def _send(self) -> None:
        sequence = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._finished and len(self._sent) < ON_THE_WAY:
                batch, self._finished = self._finished[:BATCH], self._finished[BATCH:]
                sequence += 1
                self._sent.append((sequence, len(batch)))
                await self._stream.write(messages.Up(sequence=sequence, reports=batch))


async def main(folder: Path, count: int) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, str(HERE / "worker.py"), str(theirs.fileno()), str(CONCURRENCY)]
    worker = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()])
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours, limit=FRAME)
    async with grpc.aio.insecure_channel(f"unix:{folder}/bare.sock") as channel:
        await channel.channel_ready()
        begun = time.perf_counter()
        await Runner(services.RunnerStub(channel).Attach(), count).run(reader, writer)
        print(json.dumps({"per_second": count / (time.perf_counter() - begun)}))
    worker.kill()
    await worker.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
