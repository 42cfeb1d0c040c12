"""Rows of the result, and how they are shown to people and programs."""

import json
import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Target:
    """`of`: "ratio", or "ours" for our own figure."""

    of: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.of} {self.sign} {number(self.bound)}"


def at_least(bound: float, of: str = "ratio") -> Target:
    return Target(of, "≥", bound)


def at_most(bound: float, of: str = "ratio") -> Target:
    return Target(of, "≤", bound)


@dataclass(frozen=True)
class Row:
    """`peer` is what ours is divided by: another program, or the least that the machine allows."""

    what: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    target: Target | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.ours
        return value >= self.target.bound if self.target.sign == "≥" else value <= self.target.bound

    @property
    def cells(self) -> tuple[str, ...]:
        met = {True: "yes", False: "NO", None: ""}[self.is_met]
        target = str(self.target) if self.target else ""
        peer = f"{number(self.peer)} ({self.peer_name})"
        return (f"{self.what}, {self.unit}", number(self.ours), peer, number(self.ratio), target, met)


@dataclass(frozen=True)
class Group:
    """What one module measured; `limit` says in words what bounds its rows."""

    name: str
    limit: str
    rows: Sequence[Row]


HEADINGS = ("what", "ours", "peer or floor", "ratio", "target", "met")


def number(value: float) -> str:
    """With three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def machine() -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {model}, {memory:.0f} GiB; Linux {platform.release()}; "
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    )


def show(groups: Sequence[Group]) -> None:
    table = Table(*HEADINGS, caption=machine(), caption_justify="left")
    for group in groups:
        for row in group.rows:
            table.add_row(*row.cells, style="red" if row.is_met is False else "")
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def as_json(groups: Sequence[Group]) -> str:
    rows = [
        {"group": group.name, **asdict(row), "ratio": row.ratio, "met": row.is_met}
        for group in groups
        for row in group.rows
    ]
    return json.dumps({"machine": machine(), "rows": rows}, ensure_ascii=False, indent=2)


def as_markdown(groups: Sequence[Group], date: str, load: float) -> str:
    """RESULTS.md as a whole. `load`: processes that wanted a core when it began."""
    lines = [
        "# Results",
        "",
        f"Made by `scripts/bench --write` on {date}: {machine()}.",
        f"Load average when it began: {load:.1f} (0 is a quiet machine: figures in milliseconds need one).",
        "Medians of rounds that alternate between ours and the peer; trust the ratios more than the figures.",
        "",
        _markdown_row(HEADINGS),
        _markdown_row(["---"] * len(HEADINGS)),
        *(_markdown_row(row.cells) for group in groups for row in group.rows),
        "",
        "## What limits each row",
        "",
        *(f"- **{group.name}**: {group.limit}" for group in groups),
        "",
    ]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
