"""A CSV of rows with a column `key`; `effects`: file that gets a line for each row that is executed.

While the file `gate` is missing, a row waits in flight.
"""

import asyncio
import csv
import os
from pathlib import Path
from typing import Any

from milepost import Job, Pipeline, Task

rows_pipeline = Pipeline("rows", key="key")


@rows_pipeline.items
def rows(job: Job) -> Any:
    with job.open_input() as file:
        yield from csv.DictReader(file)


@rows_pipeline.step(concurrency=2)
async def keep(row: Any, task: Task) -> Any:
    descriptor = os.open(task.job.parameters["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"work {task.key}\n".encode())
    os.close(descriptor)
    while not Path(task.job.parameters["gate"]).exists():
        await asyncio.sleep(0.01)
    return row
