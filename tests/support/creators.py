"""The creators example as a job, and what its tasks really did."""

import json
from collections import Counter
from typing import Any

from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import ROOT, RealDaemon

EXAMPLE = ROOT / "examples" / "creators"
#: What becomes of the rows of its CSV.
SUMS = {"added": 272, "duplicate": 21, "failed": 11, "filtered": 9}
STEPS = ("validate", "fetch", "score", "store")


async def submit_creators(daemon: RealDaemon, **parameters: Any) -> job_pb2.Job:  # Any: JSON
    request = job_service_pb2.SubmitJobRequest(
        python_pipeline=job_service_pb2.PythonPipeline(file=str(EXAMPLE / "pipeline.py")),
        input_path=str(EXAMPLE / "creators.csv"),
        parameters_json=json.dumps({"effects": str(daemon.effects_file), **parameters}),
    )
    return (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job


async def keys_that(daemon: RealDaemon, job_id: str, *states: job_pb2.ItemState.ValueType) -> set[str]:
    """Keys of the items in one of these states."""
    request = job_service_pb2.ListItemsRequest(job=job_id, states=states, page_size=1000)
    return {item.key for item in (await daemon.client.call(daemon.client.jobs.ListItems, request)).items}


def executed(daemon: RealDaemon) -> Counter[str]:
    """How often each task was really executed, as "STEP KEY"."""
    return sum((Counter({f"{step} {key}": n for key, n in daemon.effects(step).items()}) for step in STEPS), Counter())


def of_items(tasks: Counter[str], keys: set[str]) -> Counter[str]:
    return Counter({task: n for task, n in tasks.items() if task.split(" ", 1)[1] in keys})
