"""A verb, cold, against the least that a call costs: Python, grpc, protobuf, one answer from the same daemon."""

import subprocess
import sys
import time
from functools import partial

from bench.measuring import HERE, Contestant, Effort, alternate
from bench.table import Row, at_most
from tests.support.daemon import real_daemon

ROUNDS = 15


async def measure(effort: Effort) -> list[Row]:
    async with real_daemon() as daemon:
        command = [sys.executable, "-m", "milepost.cli.main", "--state-dir", str(daemon.state), "ls"]
        script = [sys.executable, str(HERE / "peers" / "cold_call.py"), str(daemon.socket)]
        contestants: dict[str, Contestant] = {"milepost ls": partial(_run, command), "one call": partial(_run, script)}
        for program in (command, script):
            _run(program)  # compiles what it imports
        times = await alternate(effort.count(ROUNDS), contestants)
    peer = "grpc, protobuf, one call"
    return [Row("milepost ls, cold", "ms", times["milepost ls"], times["one call"], peer, at_most(1.25))]


def _run(command: list[str]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=HERE.parent)
    return (time.perf_counter() - begun) * 1e3
