"""Jobs for the captures in the README: how each one stands is what its parameters ask for.

Parameters: `items`; `seconds` a task takes; `blocks`: number of the item whose task blocks its worker; `fails`: numbers
of items that fail; `report`: whether the last step can be made.
"""

import asyncio
import time

from milepost import Job, Persistent, Pipeline, Task

jobs = Pipeline("jobs", key="key")


@jobs.items
def rows(job: Job):
    for number in range(job.parameters["items"]):
        yield {"key": f"row-{number:06d}", "number": number}


@jobs.step(concurrency=4)
async def fetch(row: dict, task: Task):
    parameters = task.job.parameters
    await asyncio.sleep(parameters.get("seconds", 0.02))
    while row["number"] == parameters.get("blocks"):
        time.sleep(0.1)  # noqa: ASYNC251 - the mistake that makes a job stuck
    return row["number"]


@jobs.step(concurrency=4)
async def upload(row: dict, task: Task):
    if row["number"] in task.job.parameters.get("fails", []):
        raise Persistent(f"422 Unprocessable Entity: email of {task.key} is missing '@'")
    return task.previous["fetch"] + 1


@jobs.step(takes="all")
def report(results, task: Task):
    if not task.job.parameters.get("report", True):
        raise Persistent("the bucket reports-eu does not exist")
    return sum(1 for _ in results)
