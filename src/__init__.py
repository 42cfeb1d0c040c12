"""Milepost for authors of pipelines: `from milepost import Pipeline`.

This module loads the SDK and nothing else: no dependency, no asyncio, no grpc. The daemon copies it, with
`milepost.sdk`, in front of the path of a job's own interpreter, so it keeps to the standard library of Python 3.9.

The SDK is loaded when one of its names is asked for: the command line passes through here too, and starts faster.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milepost.sdk.errors import Mistake, NeedsOperator, Persistent, RateLimited, TaskError, Transient
    from milepost.sdk.job import Job
    from milepost.sdk.pipeline import Pipeline, Retry
    from milepost.sdk.results import labelled, skipped
    from milepost.sdk.rows import Results, Row
    from milepost.sdk.task import Task

__version__ = "0.1.0"

__all__ = [
    "Job",
    "Mistake",
    "NeedsOperator",
    "Persistent",
    "Pipeline",
    "RateLimited",
    "Results",
    "Retry",
    "Row",
    "Task",
    "TaskError",
    "Transient",
    "__version__",
    "labelled",
    "skipped",
]

_MODULES = {
    "Job": "job",
    "Mistake": "errors",
    "NeedsOperator": "errors",
    "Persistent": "errors",
    "Pipeline": "pipeline",
    "RateLimited": "errors",
    "Results": "rows",
    "Retry": "pipeline",
    "Row": "rows",
    "Task": "task",
    "TaskError": "errors",
    "Transient": "errors",
    "labelled": "results",
    "skipped": "results",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"milepost.sdk.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted(__all__)
