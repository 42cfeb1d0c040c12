"""A task that runs a script of the test's own, and waits for it. Parameters: `argv`."""

import subprocess
from typing import Any

from milepost import Pipeline, Task

detaching = Pipeline("detaching")


@detaching.step
def only(row: Any, task: Task) -> Any:
    subprocess.run(task.job.parameters["argv"], check=True)
