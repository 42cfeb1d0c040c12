"""A long task that keeps its own small state, and sees that it should stop."""

import asyncio
from pathlib import Path
from typing import Any

from milepost import Pipeline, Task

saving = Pipeline("saving")


def effect(task: Task, text: str) -> None:
    with Path(task.job.parameters["effects"]).open("a") as file:
        file.write(f"{text}\n")


@saving.step(timeout="processing")
async def count(row: Any, task: Task) -> Any:
    start = (task.saved or {"at": 0})["at"]
    for at in range(start, start + 5):
        await task.save({"at": at + 1})
    effect(task, f"work from-{start}")
    while not Path(task.job.parameters["gate"]).exists():
        if task.should_stop():
            effect(task, f"stop {task.should_stop()}")
            return {"stopped": True, "start": start}
        await asyncio.sleep(0.01)
    return {"start": start}
