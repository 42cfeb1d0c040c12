"""A task that starts a daemon of its own: forked twice, a session of its own, deaf to SIGTERM."""

import asyncio
import subprocess
from typing import Any

from milepost import Pipeline, Task

DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
time.sleep(600)
"""

detaching = Pipeline("detaching")


@detaching.step
async def only(row: Any, task: Task) -> Any:
    given = task.job.parameters
    subprocess.run([given["python"], "-c", DAEMON, given["effects"] + ".pid"], check=True)
    await asyncio.sleep(600)
