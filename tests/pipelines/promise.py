"""Pipelines whose every execution leaves a line in the effects file, with 1, 4, 16 or 64 tasks in flight.

Parameters: `count` items; `effects`: the file; `gate`: a file with the number of items that may pass `work`, the
others wait in flight; `failing`: keys whose first attempt fails.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from milepost import Job, Pipeline, Retry, Task, Transient


def effect(task: Task, word: str) -> None:
    descriptor = os.open(task.job.parameters["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{word} {task.key}\n".encode())
    os.close(descriptor)


def rows(job: Job) -> Iterator[dict[str, Any]]:
    for number in range(job.parameters["count"]):
        yield {"key": f"item-{number:03}", "number": number}


async def prepare(row: dict[str, Any], task: Task) -> None:
    effect(task, "prepare")


async def work(row: dict[str, Any], task: Task) -> int:
    effect(task, "work" if task.attempt == 1 else "again")
    gate = Path(task.job.parameters["gate"])
    while row["number"] >= int(gate.read_text()):
        await asyncio.sleep(0.01)
    if row["key"] in task.job.parameters.get("failing", ()) and task.attempt == 1:
        effect(task, "failed")
        raise Transient("not the first time")
    effect(task, "done")
    return int(row["number"])


async def finish(row: dict[str, Any], task: Task) -> None:
    effect(task, "finish")


def pipeline(concurrency: int) -> Pipeline:
    made = Pipeline(f"work{concurrency}", key="key")
    made.items(rows)
    made.step(prepare)
    made.step(concurrency=concurrency, retry=Retry(base="10ms"))(work)
    made.step(finish)
    return made


work1, work4, work16, work64 = pipeline(1), pipeline(4), pipeline(16), pipeline(64)

saving = Pipeline("saving", key="key")
saving.items(rows)
saving.step(prepare)


@saving.step
async def keep(row: dict[str, Any], task: Task) -> Any:
    """Ends with what it had saved in an earlier execution."""
    if task.saved is not None:
        effect(task, "found")
        return task.saved
    await task.save({"number": row["number"]})
    effect(task, "saved")
    await asyncio.Event().wait()
    return None
