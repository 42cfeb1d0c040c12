"""Executes no-op tasks: frames of JSON arrays in, results out."""

import asyncio
import json
import socket
import sys
import time
from typing import Any


async def no_operation(_item: Any) -> dict[str, int]:  # Any: JSON data
    return {"ok": 1}


async def main(descriptor: int, concurrency: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor), limit=1 << 24)
    waiting: asyncio.Queue[Any] = asyncio.Queue()
    finished: list[Any] = []
    wake = asyncio.Event()

    async def work() -> None:
        while True:
            key, item = await waiting.get()
            start = time.time_ns() // 1000
            finished.append((key, await no_operation(item), start, time.time_ns() // 1000))
            wake.set()

    async def send() -> None:
        while True:
            await wake.wait()
            wake.clear()
            writer.write(json.dumps(finished, separators=(",", ":")).encode() + b"\n")
            finished.clear()
            await writer.drain()

    loops = [asyncio.create_task(send()), *(asyncio.create_task(work()) for _ in range(concurrency))]
    while line := await reader.readline():
        for row in json.loads(line):
            waiting.put_nowait(row)
    for loop in loops:
        loop.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
