"""Hands out tasks and records their reports, one commit for all that came in during the last one."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import grpc
import grpc.aio

sys.path.insert(0, str(Path(__file__).parent))
messages, services = grpc.protos_and_services("bare.proto")

PAGE = 2000
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE task (
    job INTEGER, step TEXT, key TEXT, outcome INTEGER, result BLOB, start_us INTEGER, end_us INTEGER,
    PRIMARY KEY (job, step, key)
) WITHOUT ROWID;
CREATE TABLE job (id INTEGER PRIMARY KEY, done INTEGER, revision INTEGER);
INSERT INTO job VALUES (1, 0, 0);
"""


class Runner(services.RunnerServicer):  # type: ignore[misc, name-defined] # made at run time
    def __init__(self, database: aiosqlite.Connection, count: int) -> None:
        self._database = database
        self._count = count

    async def Attach(self, requests: AsyncIterator[Any], _context: object) -> AsyncIterator[Any]:  # noqa: N802
        self._next = 0
        self._out: asyncio.Queue[Any] = asyncio.Queue()  # Any: messages made at run time
        self._came = asyncio.Event()
        self._received: list[Any] = []
        self._out.put_nowait(messages.Down(tasks=self._page(PAGE)))
        loops = [asyncio.create_task(self._receive(requests)), asyncio.create_task(self._record())]
        try:
            while True:
                yield await self._out.get()
        finally:
            for loop in loops:
                loop.cancel()

    def _page(self, size: int) -> list[Any]:
        first, self._next = self._next, min(self._count, self._next + size)
        return [
            messages.Task(key=f"item-{number:07d}", payload=b'{"handle":"x","n":%d}' % number)
            for number in range(first, self._next)
        ]

    async def _receive(self, requests: AsyncIterator[Any]) -> None:
        async for request in requests:
            self._received.append(request)
            self._came.set()

    async def _record(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            batches, self._received = self._received, []
            rows = [
                (report.step, report.key, report.outcome, report.result, report.start_us, report.end_us)
                for batch in batches
                for report in batch.reports
            ]
            await self._database.execute("BEGIN IMMEDIATE")
            await self._database.executemany("INSERT INTO task VALUES (1, ?, ?, ?, ?, ?, ?)", rows)
            await self._database.execute("UPDATE job SET done = done + ?, revision = revision + 1", (len(rows),))
            await self._database.execute("COMMIT")
            self._out.put_nowait(messages.Down(acknowledged=batches[-1].sequence, tasks=self._page(len(rows))))


async def main(folder: Path, count: int) -> None:
    async with aiosqlite.connect(folder / "bare.db", isolation_level=None) as database:
        await database.executescript(SCHEMA)
        server = grpc.aio.server()
        services.add_RunnerServicer_to_server(Runner(database, count), server)
        server.add_insecure_port(f"unix:{folder}/bare.sock")
        await server.start()
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
