"""A command for each item (`true`), against a bare asyncio loop and against GNU parallel with its job log."""

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

from bench.measuring import Contestant, Effort, alternate, folder, run_script, say
from bench.own_daemon import completed, seconds, submit_command
from bench.table import Row, at_least
from tests.support.daemon import real_daemon

ITEMS = 2000
#: GNU parallel's own: it is so much slower.
PARALLEL_ITEMS = 300
CONCURRENCY = 4


async def measure(effort: Effort) -> list[Row]:
    count = effort.count(ITEMS)
    contestants: dict[str, Contestant] = {"ours": partial(ours, count), "asyncio": partial(asyncio_loop, count)}
    if shutil.which("parallel") is None:
        say("  GNU parallel is not installed (apt-get install parallel): its row is left out")
    else:
        contestants["GNU parallel"] = partial(gnu_parallel, effort.count(PARALLEL_ITEMS))
    rates = await alternate(effort.rounds, contestants)
    what = f"commands, {CONCURRENCY} at a time"
    rows = [Row(what, "tasks/s", rates["ours"], rates["asyncio"], "bare asyncio loop", at_least(0.8))]
    if "GNU parallel" in rates:
        rows.append(Row(what, "tasks/s", rates["ours"], rates["GNU parallel"], "parallel --joblog", at_least(1)))
    return rows


async def ours(count: int) -> float:
    async with real_daemon() as daemon:
        lines = daemon.folder / "items.txt"
        _write_lines(lines, count)
        job = await completed(daemon, await submit_command(daemon, ["true", "{}"], lines, CONCURRENCY))
        step = job.steps[-1].name
        return count / seconds(job, step, step)


def asyncio_loop(count: int) -> float:
    return float(run_script("peers/asyncio_commands.py", count, CONCURRENCY)["per_second"])


def gnu_parallel(count: int) -> float:
    with folder() as path:
        _write_lines(path / "items.txt", count)
        command = ["parallel", f"-j{CONCURRENCY}", "--joblog", "log", "-a", "items.txt", "true", "{}"]
        begun = time.perf_counter()
        subprocess.run(command, cwd=path, check=True, capture_output=True, env=_quiet(path))
        return count / (time.perf_counter() - begun)


def _quiet(path: Path) -> dict[str, str]:
    """Without the notice about citations."""
    (path / ".parallel").mkdir()
    (path / ".parallel" / "will-cite").touch()
    return {"HOME": str(path), "PATH": "/usr/bin:/bin"}


def _write_lines(path: Path, count: int) -> None:
    path.write_text("".join(f"{number}\n" for number in range(count)))
