"""A pipeline whose tasks do not get on, in the ways that parameters say.

Parameters: `count` items; `effects`: file that gets a line for each execution; `once`: what the first execution of
item-0 does: "block" the worker's loop, or "wait" for ever; `poison`: a key whose every execution kills its worker, the
first time as soon as all items are in flight.
"""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from milepost import Job, Pipeline, Task

stuck = Pipeline("stuck", key="key")


@stuck.items
def rows(job: Job) -> Any:
    for number in range(job.parameters["count"]):
        yield {"key": f"item-{number}"}


@stuck.step(concurrency=8)
async def work(row: Any, task: Task) -> Any:
    parameters, effects = task.job.parameters, Path(task.job.parameters["effects"])
    with effects.open("a", encoding="utf-8") as file:  # noqa: ASYNC230 -- a moment, on a local disk
        file.write(f"work {task.key}\n")
    executed = effects.read_text().count(f"work {task.key}\n")
    while parameters.get("once") == "block" and task.key == "item-0" and executed == 1:
        time.sleep(0.01)  # noqa: ASYNC251 -- the author's mistake that this is about
    while parameters.get("once") == "wait" and task.key == "item-0" and executed == 1:
        await asyncio.sleep(0.01)
    if task.key == parameters.get("poison"):
        while executed == 1 and effects.read_text().count("\n") < parameters["count"]:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    while parameters.get("poison") and executed == 1:
        await asyncio.sleep(0.01)  # until it is killed along with the poison
    return os.getpid()
