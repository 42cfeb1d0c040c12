"""One step, one item: it waits in flight until the file `gate` is there."""

import asyncio
import os
from pathlib import Path
from typing import Any

from milepost import Pipeline, Task

single = Pipeline("single")


@single.step
async def only(row: Any, task: Task) -> Any:
    descriptor = os.open(task.job.parameters["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, b"work only\n")
    os.close(descriptor)
    while not Path(task.job.parameters["gate"]).exists():
        await asyncio.sleep(0.01)
    return {"done": True}
