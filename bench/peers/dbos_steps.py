"""DBOS with SQLite: steps per second. `dbos_steps.py KIND COUNT [wal]`, KIND sync, async or three (steps an item).

Prints one line of JSON. "wal": the file is set to WAL before, which is not what DBOS does by itself.
"""

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from dbos import DBOS


@DBOS.step()
def sync_step(number: int) -> int:
    return number


@DBOS.step()
async def async_step(number: int) -> int:
    return number


@DBOS.workflow()
def sync_steps(count: int) -> None:
    for number in range(count):
        sync_step(number)


@DBOS.workflow()
async def async_steps(count: int) -> None:
    for number in range(count):
        await async_step(number)


@DBOS.workflow()
def item() -> None:
    for number in range(3):
        sync_step(number)


def run(kind: str, count: int) -> None:
    match kind:
        case "sync":
            sync_steps(count)
        case "async":
            asyncio.run(async_steps(count))
        case "three":
            for _ in range(count // 3):
                item()


def main(kind: str, count: int, *options: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mp-") as folder:
        file = Path(folder) / "system.db"
        if "wal" in options:
            sqlite3.connect(file).execute("PRAGMA journal_mode = WAL")
        settings = {"system_database_url": f"sqlite:///{file}", "log_level": "ERROR", "run_admin_server": False}
        DBOS(config={"name": "bench", **settings})
        DBOS.launch()
        begun = time.perf_counter()
        run(kind, count)
        print(json.dumps({"per_second": count / (time.perf_counter() - begun)}), flush=True)
        DBOS.destroy()


if __name__ == "__main__":
    os.environ.setdefault("DBOS__VMID", "bench")
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
