"""Starts a process in each way in which one can slip out of a job, all deaf to SIGTERM, and waits for none of them.

python hiding.py FOLDER: each writes its pid into the file of its name there.

- child, grandchild: of this process, which is `parent`
- session: in a session of its own
- daemon: forked twice, in a session of its own
- bare: as daemon, with an environment that was cleared
- released: as daemon, but it dropped the mark: it is no part of the job any more
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

HIDDEN = {"parent", "child", "grandchild", "session", "daemon", "bare"}
RELEASED = "released"


def main(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder.mkdir(parents=True, exist_ok=True)
    with_mark = dict(os.environ)

    def become(name: str, environment: dict[str, str] = with_mark) -> Callable[[], None]:
        return lambda: _sleep_as(folder / name, environment)

    _fork(become("child"))
    _fork(_after(lambda: _fork(become("grandchild")), lambda: time.sleep(600)))
    _fork(_after(os.setsid, become("session")))
    _fork_twice(become("daemon"))
    _fork_twice(become("bare", {}))
    _fork_twice(become(RELEASED, {**with_mark, "MILEPOST_RUN": ""}))
    _note(folder / "parent")
    time.sleep(600)


def _fork(then: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        then()
        os._exit(0)
    return pid


def _fork_twice(then: Callable[[], object]) -> None:
    os.waitpid(_fork(_after(os.setsid, lambda: _fork(then))), 0)


def _after(*steps: Callable[[], object]) -> Callable[[], None]:
    def all_steps() -> None:
        for step in steps:
            step()

    return all_steps


def _sleep_as(file: Path, environment: dict[str, str]) -> None:
    _note(file)
    os.execve("/bin/sleep", ["sleep", "600"], environment)


def _note(file: Path) -> None:
    part = file.with_suffix(".part")
    part.write_text(str(os.getpid()))
    part.rename(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
