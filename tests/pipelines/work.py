"""A pipeline whose every execution can be held, failed and counted from outside.

Parameters: `count` items; `effects`: file that gets a line for each execution; `gate`: while this file is missing, a
task of `work` waits in flight; `open`: how many items pass without the gate; `failing`: keys that fail for good.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from milepost import Job, Persistent, Pipeline, Results, Retry, Task, labelled, skipped

work_pipeline = Pipeline("work", key="key")


def effect(task: Task, word: str) -> None:
    path = task.job.parameters.get("effects")
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{word} {task.key}\n".encode())
        os.close(descriptor)


@work_pipeline.items
def rows(job: Job) -> Any:
    for number in range(job.parameters["count"]):
        yield {"key": f"item-{number:03}", "number": number}


@work_pipeline.step
async def check(row: Any, task: Task) -> Any:
    if row["number"] % 10 == 9:
        return skipped("filtered")
    return {"checked": True}


@work_pipeline.step(concurrency=16, retry=Retry(attempts=2, base="10ms", cap="20ms"))
async def work(row: Any, task: Task) -> Any:
    effect(task, "work")
    gate = task.job.parameters.get("gate")
    while gate and row["number"] >= task.job.parameters.get("open", 0) and not Path(gate).exists():
        await asyncio.sleep(0.01)
    if row["key"] in task.job.parameters.get("failing", ()) and not Path(f"{gate}.mended").exists():
        raise Persistent(f"{row['key']} is no good")
    effect(task, "done")
    return labelled("added", {"number": row["number"]})


@work_pipeline.step(takes="all")
def report(results: Results, task: Task) -> Any:
    effect(task, "report")
    outcomes: dict[str, int] = {}
    for result in results:
        outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
    (task.artefacts / "report.txt").write_text(repr(outcomes))
    return outcomes
