"""Results that cannot be kept, each returned by the item of its name; `good` items are between them."""

from typing import Any

from milepost import Pipeline, Retry, Task

results_pipeline = Pipeline("results", key="key")

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)

RESULTS: dict[str, Any] = {
    "good-1": {"n": 1},
    "object": {"list": [1, object()]},
    "bytes": b"x",
    "not-a-number": {"score": float("nan")},
    "infinite": [float("inf")],
    "circle": CIRCLE,
    "surrogate": "\udcff",
    "tuple-key": {(1, 2): 3},
    "large": "x" * 70_000,
    "large-in-utf-8": "ü" * 40_000,
    "deep": None,
    "good-2": "x" * 65_000,
}


def _deep() -> Any:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return value


@results_pipeline.items
def rows(job: Any) -> Any:
    for key in RESULTS:
        yield {"key": key}


@results_pipeline.step(retry=Retry(attempts=2, base="10ms"))
async def make(row: Any, task: Task) -> Any:
    return _deep() if row["key"] == "deep" else RESULTS[row["key"]]


@results_pipeline.step
async def after(row: Any, task: Task) -> Any:
    return len(str(task.previous["make"]))
