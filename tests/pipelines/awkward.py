"""Large results under a gather; and, with parameter `double`, a key twice in a source that must not have one."""

from typing import Any

from milepost import Job, Pipeline, Results, Task

awkward = Pipeline("awkward", key="key", on_duplicate="fail")


@awkward.items
def rows(job: Job) -> Any:
    for number in range(job.parameters["count"]):
        yield {"key": f"item-{number}"}
    if job.parameters.get("double"):
        yield {"key": "item-0"}


@awkward.step
async def write(row: Any, task: Task) -> Any:
    return {"text": "x" * 40_000}


@awkward.step(takes="all")
def total(results: Results, task: Task) -> Any:
    return {"characters": sum(len(result.results["write"]["text"]) for result in results)}
