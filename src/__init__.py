"""Milepost for authors of pipelines: `from milepost import Pipeline`.

This module loads the SDK and nothing else: no dependency, no asyncio, no grpc. The daemon copies it, with
`milepost.sdk`, in front of the path of a job's own interpreter, so it keeps to the standard library of Python 3.9.
"""

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
