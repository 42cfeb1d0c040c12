"""The smallest job that has a process, a record and an artefact. Parameters: `effects`, a file for a line."""

import os
from typing import Any

from milepost import Pipeline, Task

brief = Pipeline("brief")


@brief.step
def only(row: Any, task: Task) -> Any:
    descriptor = os.open(task.job.parameters["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, b"only \n")
    os.close(descriptor)
    (task.artefacts / "done.txt").write_text("done")
    return {"done": True}
