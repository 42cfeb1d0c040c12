"""The pipelines that are measured. Parameter `count`: how many items."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

from milepost import Job, Pipeline, Task

Item = dict[str, Any]  # Any: JSON data


def items(job: Job) -> Iterator[Item]:
    for number in range(job.parameters["count"]):
        yield {"handle": "x", "n": number}


async def no_operation(item: Item, task: Task) -> Item:
    return {"ok": 1}


def no_operation_in_a_thread(item: Item, task: Task) -> Item:
    return {"ok": 1}


one_step = Pipeline("one_step")
one_step.items(items)
one_step.step(no_operation)

#: The items are all there before the first one is worked on.
one_step_behind_items = Pipeline("one_step_behind_items")
one_step_behind_items.items(items)
one_step_behind_items.step(barrier=True)(no_operation)

one_sync_step = Pipeline("one_sync_step")
one_sync_step.items(items)
one_sync_step.step(no_operation_in_a_thread)

three_steps = Pipeline("three_steps")
three_steps.items(items)


@three_steps.step
async def first(item: Item, task: Task) -> Item:
    return {"ok": 1}


@three_steps.step
async def second(item: Item, task: Task) -> Item:
    return {"ok": 2}


@three_steps.step
async def third(item: Item, task: Task) -> Item:
    return {"ok": 3}


busy = Pipeline("busy")
busy.items(items)


@busy.step(concurrency=16)
async def short_work(item: Item, task: Task) -> None:
    """Writes down when it started."""
    descriptor = os.open(task.job.parameters["starts"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{time.time()}\n".encode())
    os.close(descriptor)
    await asyncio.sleep(0.05)
