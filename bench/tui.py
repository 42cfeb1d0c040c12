"""The terminal UI beside a DataTable version of its list, and beside the least that Textual can show."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.measuring import HERE, Contestant, Effort, alternate, cpu_seconds, folder
from bench.table import Row, at_most
from bench.terminal import environment, in_terminal, python, until

JOBS, MANY_JOBS, UPDATES = 10_000, 50_000, 1000
SECONDS = 10.0
IDLE_SECONDS = 10.0
DEADLINE = 180.0
PAINTS = 7
PEERS = HERE / "peers"


async def measure(effort: Effort) -> list[Row]:
    list_rows = await _lists(effort)
    return [*list_rows, await _first_paint(effort), await _idle(effort)]


async def _lists(effort: Effort) -> list[Row]:
    seconds = max(2.0, SECONDS * effort.share)
    busy = await _figures("tui_probe.py", effort.count(JOBS), UPDATES, seconds)
    table = await _figures("datatable_list.py", effort.count(JOBS), UPDATES, seconds)
    large = await _figures("tui_probe.py", effort.count(MANY_JOBS), 0, 2.0)
    name = "DataTable"
    return [
        Row("10,000 jobs, 1,000 updates/s: CPU", "% of a core", busy["cpu"], table["cpu"], name, at_most(15, "ours")),
        Row(
            "10,000 jobs, 1,000 updates/s: lag of the loop, p99",
            "ms",
            busy["lag"],
            table["lag"],
            name,
            at_most(20, "ours"),
        ),
        Row("10,000 jobs: until they are listed", "s", busy["loaded"], table["loaded"], name),
        Row("50,000 jobs: a filter", "ms", large["filter"], busy["filter"], "10,000 jobs", at_most(10, "ours")),
        Row("50,000 jobs: sorting and listing", "ms", large["sort"], busy["sort"], "10,000 jobs", at_most(60, "ours")),
    ]


async def _figures(script: str, jobs: int, updates: int, seconds: float) -> dict[str, Any]:  # Any: a JSON object
    with folder() as path, _feeder(path / "socket", jobs, updates):
        report = path / "report.json"
        command = python(str(PEERS / script), str(path / "socket"), str(jobs), str(seconds), str(report))
        with in_terminal(command, environment(path)) as (process, output):
            await until(process, output, b"", DEADLINE)
        figures: dict[str, Any] = json.loads(await asyncio.to_thread(report.read_text))
        return figures


@contextlib.contextmanager
def _feeder(socket: Path, jobs: int, updates: int) -> Iterator[None]:
    command = python(str(PEERS / "tui_feeder.py"), str(socket), str(jobs), str(updates))
    feeder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE.parent, env=environment(socket.parent))
    try:
        assert feeder.stdout is not None
        feeder.stdout.readline()
        yield
    finally:
        feeder.kill()
        feeder.wait()


async def _first_paint(effort: Effort) -> Row:
    with folder() as path, _feeder(path / "socket", 100, 1):
        ours = python("-m", "milepost.cli.main", "--socket", str(path / "socket"), "tui")
        contestants: dict[str, Contestant] = {
            "milepost tui": partial(_paint, ours, b"Jobs", path),
            "minimal Textual app": partial(_paint, python(str(PEERS / "minimal_app.py")), b"milepost", path),
        }
        times = await alternate(effort.count(PAINTS) if effort.share == 1 else 1, contestants)
    ours_paint, least = times.values()
    return Row("first paint", "ms", ours_paint, least, "minimal Textual app", at_most(1.3))


async def _paint(command: list[str], wanted: bytes, path: Path) -> float:
    """Milliseconds."""
    with in_terminal(command, environment(path)) as (process, output):
        return 1e3 * await until(process, output, wanted, DEADLINE)


async def _idle(effort: Effort) -> Row:
    with folder() as path, _feeder(path / "socket", 100, 0):
        ours = python("-m", "milepost.cli.main", "--socket", str(path / "socket"), "tui")
        contestants: dict[str, Contestant] = {
            "milepost tui": partial(_idle_share, ours, path, effort),
            "minimal Textual app": partial(_idle_share, python(str(PEERS / "minimal_app.py")), path, effort),
        }
        shares = await alternate(1, contestants)
    floor = max(0.1, shares["minimal Textual app"])
    return Row(
        "idle, 100 jobs", "% of a core", shares["milepost tui"], floor, "minimal Textual app", at_most(1, "ours")
    )


async def _idle_share(command: list[str], path: Path, effort: Effort) -> float:
    """Percent of a core, once what it does at its start is over."""
    seconds = max(2.0, IDLE_SECONDS * effort.share)
    with in_terminal(command, environment(path)) as (process, output):
        await until(process, output, b"milepost", DEADLINE)
        await asyncio.sleep(3.0)
        begun = cpu_seconds(process.pid)
        await asyncio.sleep(seconds)
        return 100 * (cpu_seconds(process.pid) - begun) / seconds
