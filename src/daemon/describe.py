"""Asks a pipeline's own interpreter what the pipeline is. Importing it runs its author's code, so it gets a process of
its own, a limit of time, and nothing of it stays behind."""

import asyncio
import json
import logging
import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from milepost.common import processes
from milepost.common.edges import edge
from milepost.core.errors import Code, MilepostError

#: Seconds that the import of a pipeline may take.
TIMEOUT = 30.0
#: Of what the import printed, the end is kept for the error.
OUTPUT_BYTES = 64 * 1024
_SHOWN_OUTPUT = 600
_MAX_FRAME = 16 * 1024 * 1024
_KILL_TIMEOUT = 5.0
_REAP_TIMEOUT = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """Where the pipeline's code runs (E1). `environment` is laid over the daemon's own."""

    python: str
    working_directory: str
    environment: Mapping[str, str]


async def describe(
    source: Mapping[str, str], surroundings: Surroundings, sdk_folder: Path, *, inline: bool, timeout: float = TIMEOUT
) -> str:
    """The definition as JSON, not yet checked (`core.definition.from_json` does that).

    `source`: {"file": absolute path} or {"module": dotted name}, and "name". `inline`: the items come with the submit.
    Raises MilepostError: INTERPRETER_UNUSABLE, PIPELINE_NOT_IMPORTABLE, PIPELINE_INVALID, TIMED_OUT.
    """
    ours, theirs = socket.socketpair()
    mark = f"describe-{secrets.token_hex(8)}"
    with ours:
        with theirs:
            process = _start(surroundings, sdk_folder, theirs.fileno(), mark)
        identity = processes.identify(process.pid)
        output = _Output(process)
        try:
            async with asyncio.timeout(timeout):
                frame = await _converse(ours, {"type": "source", "source": dict(source), "inline": inline})
        except TimeoutError:
            raise _timed_out(source, surroundings, timeout) from None
        finally:
            try:
                await _end(process, identity, mark)
            finally:
                printed = output.close()
    if frame is None:
        raise _ended(source, surroundings, process.returncode, printed)
    if frame.get("type") == "mistake":
        raise _mistake(frame)
    return json.dumps(frame.get("definition"))


@edge("describe.start")
def _start(surroundings: Surroundings, sdk_folder: Path, descriptor: int, mark: str) -> subprocess.Popen[bytes]:
    """Not by the loop: libuv forks where Popen need not, and a fork goes through gRPC's handlers for it."""
    environment = {**os.environ, **surroundings.environment, processes.MARK_VARIABLE: mark}
    try:
        return subprocess.Popen(
            [surroundings.python, str(sdk_folder), "describe", str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(descriptor,),
            start_new_session=True,
            cwd=surroundings.working_directory,
            env=environment,
        )
    except (OSError, ValueError) as error:
        raise MilepostError(
            Code.INTERPRETER_UNUSABLE,
            f"The interpreter {surroundings.python} cannot be started in {surroundings.working_directory}: {error}.",
            "Name a Python of 3.9 or later with --python.",
            {"field": "python", "python": surroundings.python},
        ) from error


@edge("describe.converse")
async def _converse(ours: socket.socket, question: Mapping[str, object]) -> dict[str, Any] | None:
    """Any: a JSON object. None when the process ended without an answer."""
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours.dup(), limit=_MAX_FRAME)
    try:
        writer.write(json.dumps(question).encode() + b"\n")
        line = await reader.readline()
        frame = json.loads(line) if line.endswith(b"\n") else None
    except (ConnectionError, ValueError):
        return None
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return frame if isinstance(frame, dict) else None


class _Output:
    """What a process prints, the end of it: read as it comes, so that the process never waits for us."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout
        self._kept = b""
        os.set_blocking(self._pipe.fileno(), False)
        # Not by a transport: that of uvloop closes the descriptor of a pipe twice.
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            chunk = os.read(self._pipe.fileno(), OUTPUT_BYTES)
            if not chunk:
                self._loop.remove_reader(self._pipe.fileno())
            self._kept = (self._kept + chunk)[-OUTPUT_BYTES:]

    def close(self) -> str:
        """What there is by now: somebody who escaped may hold the other end, and print, for ever."""
        self._read()
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()
        return self._kept.decode(errors="replace")


async def _end(process: subprocess.Popen[bytes], identity: processes.ProcessIdentity | None, mark: str) -> None:
    """Ends whatever the import has started, also if the caller is cancelled meanwhile."""

    def sweep() -> None:
        try:
            processes.kill_tree(mark, identity, _KILL_TIMEOUT)
        finally:
            try:
                process.wait(_REAP_TIMEOUT)
            except subprocess.TimeoutExpired:
                logger.warning("process %d, which imported a pipeline, does not end", process.pid)

    sweeping = asyncio.create_task(asyncio.to_thread(sweep))
    try:
        await asyncio.shield(sweeping)
    finally:
        await asyncio.wait([sweeping])


def _what(source: Mapping[str, str]) -> str:
    return source.get("file") or source["module"]


def _mistake(frame: Mapping[str, Any]) -> MilepostError:  # Any: a JSON object of the frame protocol
    file, line = str(frame.get("file") or ""), frame.get("line") or 0
    where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
    message = str(frame.get("message") or "The pipeline cannot be imported.")
    interpreter = str(frame.get("interpreter") or "")
    in_interpreter = f" (in {interpreter})" if interpreter and interpreter not in message else ""
    # A mistake that the SDK itself found comes without a traceback: the module was imported, or could be.
    code = Code.PIPELINE_NOT_IMPORTABLE if frame.get("traceback") else Code.PIPELINE_INVALID
    return MilepostError(
        code,
        f"{where}{message}{in_interpreter}",
        "Correct the pipeline, or name another interpreter with --python, then submit again.",
        {"file": file, "line": str(line), "interpreter": interpreter, "traceback": str(frame.get("traceback") or "")},
    )


def _ended(source: Mapping[str, str], surroundings: Surroundings, status: int | None, output: str) -> MilepostError:
    tail = output.strip()[-_SHOWN_OUTPUT:]
    said = f" It printed: {tail}" if tail else ""
    return MilepostError(
        Code.INTERPRETER_UNUSABLE,
        f"{surroundings.python} ended with status {status} before it told what {_what(source)} is.{said}",
        "Name a Python of 3.9 or later with --python; a pipeline must not end its process when it is imported.",
        {"field": "python", "python": surroundings.python},
    )


def _timed_out(source: Mapping[str, str], surroundings: Surroundings, timeout: float) -> MilepostError:
    return MilepostError(
        Code.TIMED_OUT,
        f"{_what(source)} was not imported within {timeout:g} s by {surroundings.python}.",
        'Put what takes long into steps, or under `if __name__ == "__main__":`, then submit again.',
        {"python": surroundings.python},
    )
