"""What all rows share: how much is done, what is said meanwhile, medians, and what processes cost."""

import inspect
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SCRIPT_DEADLINE = 300.0


@dataclass(frozen=True)
class Effort:
    """`share` of the full amount of work: a quick run shows that everything works, not how fast."""

    share: float = 1.0
    rounds: int = 3

    def count(self, full: int) -> int:
        return max(min(10, full), round(full * self.share))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


#: What gives a figure; one that blocks has the machine to itself.
Contestant = Callable[[], float | Awaitable[float]]


async def alternate(rounds: int, contestants: Mapping[str, Contestant]) -> dict[str, float]:
    """The median figure of each, taken in rounds in which each has its turn."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            figure = contestant()
            figures[name].append(await figure if inspect.isawaitable(figure) else figure)
            say(f"  {name}: {figures[name][-1]:,.5g}")
    return {name: statistics.median(values) for name, values in figures.items()}


def run_script(path: str, *arguments: object, cwd: Path | None = None) -> dict[str, Any]:  # Any: a JSON object
    """What a script of this folder printed as its last line."""
    command = [sys.executable, str(HERE / path), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=_SCRIPT_DEADLINE, start_new_session=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{path} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def folder() -> Iterator[Path]:
    """On the disk that the state folders of these runs lie on."""
    path = Path(tempfile.mkdtemp(prefix="mp-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that were waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def rss_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
