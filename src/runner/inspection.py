"""A look into the run while it runs: its process tree, and the stacks of its workers."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from milepost.common.processes import ProcessIdentity, ProcessStatus, descendants, send_signal, status
from milepost.v1 import runner_service_pb2 as pb

_STACKS_DEADLINE = 1.0
_STACKS_PAUSE = 0.05
_MAX_STACKS = 256 * 1024
_MAX_COMMAND = 4096
_MAX_PROCESSES = 1000


@dataclass(frozen=True)
class Inspectable:
    """A worker that answers SIGUSR1 by appending its stacks to the file."""

    number: int
    identity: ProcessIdentity
    stacks_file: Path


async def inspect(workers: Sequence[Inspectable]) -> list[pb.Inspection.Process]:
    """The runner first, then its tree, parents before their children. A worker that does not answer has no stacks."""
    own = status(os.getpid())
    assert own is not None
    tree = [own, *await asyncio.to_thread(descendants, os.getpid())][:_MAX_PROCESSES]
    stacks = await _collect_stacks(workers)
    roles = {worker.identity.pid: f"worker {worker.number}" for worker in workers} | {own.pid: "runner"}
    return await asyncio.to_thread(_describe_all, tree, roles, stacks)


async def _collect_stacks(workers: Sequence[Inspectable]) -> dict[int, str]:
    before = {worker.number: _size(worker.stacks_file) for worker in workers}
    for worker in workers:
        send_signal(worker.identity, signal.SIGUSR1)
    with contextlib.suppress(TimeoutError):  # then those that hang in the kernel are shown without
        async with asyncio.timeout(_STACKS_DEADLINE):
            sizes: list[int] = []
            while True:
                last, sizes = sizes, [_size(worker.stacks_file) for worker in workers]
                if sizes == last and all(size > before[w.number] for size, w in zip(sizes, workers, strict=True)):
                    break
                await asyncio.sleep(_STACKS_PAUSE)
    return {worker.identity.pid: _read_from(worker.stacks_file, before[worker.number]) for worker in workers}


def _describe_all(
    tree: Sequence[ProcessStatus], roles: Mapping[int, str], stacks: Mapping[int, str]
) -> list[pb.Inspection.Process]:
    return [
        pb.Inspection.Process(
            pid=process.pid,
            parent_pid=process.parent,
            command=_command_line(process),
            state=process.state,
            role=roles.get(process.pid, "process"),
            stacks=stacks.get(process.pid, ""),
            rss_bytes=process.rss_pages * os.sysconf("SC_PAGE_SIZE"),
        )
        for process in tree
    ]


def _command_line(process: ProcessStatus) -> str:
    try:
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()[:_MAX_COMMAND]
    except OSError:
        arguments = b""
    return arguments.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace") or process.command


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_from(path: Path, offset: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_MAX_STACKS).decode(errors="replace")
    except FileNotFoundError:
        return ""
