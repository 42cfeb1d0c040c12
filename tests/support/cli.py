"""The command line as a process, as a person or a script has it."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.daemon import ROOT, RealDaemon
from tests.support.wait import DEADLINE, wait_until


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # Any: JSON
        return json.loads(self.out)

    @property
    def documents(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A verb under way; what it has printed so far is in `out` and `err`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.out = ""
        self.err = ""
        self._readers = [
            asyncio.create_task(self._read(process.stdout, "out")),
            asyncio.create_task(self._read(process.stderr, "err")),
        ]

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        while part := await stream.read(65536):
            setattr(self, name, getattr(self, name) + part.decode())

    async def wait_printed(self, condition: Callable[[str], object], what: str) -> None:
        async def printed() -> bool:
            return bool(condition(self.out + self.err))

        try:
            await wait_until(printed, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.out}\n{self.err}") from None

    async def end(self) -> Finished:
        async with asyncio.timeout(DEADLINE):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return Finished(code, self.out, self.err)


async def start_cli(environment: dict[str, str], *arguments: str, cwd: str | os.PathLike[str] = "/") -> Running:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "milepost.cli.main",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        cwd=cwd,
        start_new_session=True,
    )
    return Running(process)


async def run_cli(environment: dict[str, str], *arguments: str, cwd: str | os.PathLike[str] = "/") -> Finished:
    return await (await start_cli(environment, *arguments, cwd=cwd)).end()


class Cli:
    """Verbs that speak to this daemon."""

    def __init__(self, daemon: RealDaemon) -> None:
        self.daemon = daemon

    async def __call__(self, *arguments: str) -> Finished:
        return await run_cli(self.daemon.environment, *arguments)
