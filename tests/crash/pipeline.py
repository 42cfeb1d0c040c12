"""A small job with one of each: an item that is skipped, one that is tried again, children, a saved state, a thread, a
gather, artefacts. Every execution leaves a line in the effects file.

Parameters: `effects`: that file; `gate`: while this file is missing, `fetch` waits with every item but the first three.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from milepost import Job, Pipeline, Results, Retry, Task, Transient, labelled, skipped

crash = Pipeline("crash", key="key")

ITEMS = 6


def effect(job: Job, step: str, key: str) -> None:
    descriptor = os.open(job.parameters["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{step} {key}\n".encode())
    os.close(descriptor)


@crash.items
def rows(job: Job) -> Any:
    effect(job, "rows", "")
    for number in range(ITEMS):
        yield {"key": f"item-{number}", "number": number}


@crash.step(concurrency=2, retry=Retry(attempts=2, base="10ms", cap="10ms"))
async def fetch(row: Any, task: Task) -> Any:
    effect(task.job, "fetch", task.key)
    if row["number"] == 0:
        return skipped("filtered")
    while row["number"] > 2 and not Path(task.job.parameters["gate"]).exists():
        await asyncio.sleep(0.01)
    if row["number"] == 2 and task.attempt == 1:
        raise Transient("not yet")
    return labelled("fetched", {"of": row["key"]})


@crash.step(gives="many")
def split(row: Any, task: Task) -> Any:
    effect(task.job, "split", task.key)
    if row["number"] == 1:
        task.save({"seen": task.previous["fetch"]["of"]})
    return [{"part": part} for part in range(2 if row["number"] == 1 else 1)]


@crash.step
async def cut(piece: Any, task: Task) -> Any:
    effect(task.job, "cut", task.key)
    if task.key.startswith("item-1"):
        (task.artefacts / "piece.txt").write_text(task.key)
    return {"part": piece["part"]}


@crash.step(takes="all")
def report(results: Results, task: Task) -> Any:
    effect(task.job, "report", "")
    outcomes = sorted(result.outcome for result in results)
    (task.artefacts / "report.txt").write_text(" ".join(outcomes))
    return outcomes
