"""A command for an item: started without a shell, its output tagged and appended to the run's log, its end judged."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from milepost.common.edges import edge
from milepost.common.processes import ending_words
from milepost.core.retry import CORRUPT_SOURCE
from milepost.runner.children import Children
from milepost.runner.text import printable
from milepost.v1 import runner_service_pb2 as pb

#: sysexits.h: a temporary failure, try again.
EXIT_TRANSIENT = 75
_NOT_RUNNABLE = (126, 127)
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC, errno.EPERM)
_SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

_READ_SIZE = 64 * 1024
_MAX_LINE = 64 * 1024

PLACEHOLDER = "{}"


@dataclass(frozen=True)
class CommandCall:
    argv: tuple[str, ...]
    working_directory: str
    environment: Mapping[str, str]
    tag: str
    timeout: float | None


def arguments(command: tuple[str, ...], line: str) -> tuple[str, ...]:
    """The command with `{}` replaced by the line, or the line appended when no argument holds `{}`."""
    if any(PLACEHOLDER in argument for argument in command):
        return tuple(argument.replace(PLACEHOLDER, line) for argument in command)
    return (*command, line)


async def run_command(children: Children, call: CommandCall, log: int) -> pb.TaskFailure | None:
    """None when it exited with 0. Cancelled or out of time, it is killed with everything below it.

    `log` is a descriptor open for appending.
    """
    try:
        output = _Output(call.tag, log)
    except OSError as error:
        return _not_started(call, error)
    try:
        child = children.start(call.argv, call.working_directory, call.environment, output=output.writing)
    except (OSError, ValueError) as error:
        output.close()
        return _not_started(call, error)
    output.follow()
    try:
        async with asyncio.timeout(call.timeout):
            code = await child.wait(end_group=False)
        output.finish()
        return _judged(call, code, output.last_line)
    except TimeoutError:
        await child.kill_family()
        await child.wait(end_group=True)
        output.finish()
        return pb.TaskFailure(
            error_class="timeout",
            message=f"{call.argv[0]} did not end within {call.timeout:g} s.{_quoted(output.last_line)}",
            remedy="Give the step a longer timeout if it needs it.",
        )
    except asyncio.CancelledError:
        await child.kill_family()
        await child.wait(end_group=True)
        raise
    finally:
        output.close()


class _Output:
    """Reads what a command writes to stdout and stderr, and appends it to the log, whole lines with their tag."""

    def __init__(self, tag: str, log: int) -> None:
        self._prefix = f"[{printable(tag)}] ".encode()
        self._log = log
        self._reading, self.writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reading, False)
        self._rest = b""
        self.last_line = ""

    def follow(self) -> None:
        os.close(self.writing)
        self.writing = -1
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def finish(self) -> None:
        """Takes what is there. A background process that still holds the pipe is not waited for."""
        while self._reading != -1 and self._read():
            pass
        if self._rest:
            self._append([self._rest])
            self._rest = b""

    def close(self) -> None:
        if self._reading != -1:
            asyncio.get_running_loop().remove_reader(self._reading)
        for descriptor in (self._reading, self.writing):
            if descriptor != -1:
                os.close(descriptor)
        self._reading = self.writing = -1

    def _read(self) -> bool:
        """False when nothing more is there."""
        try:
            data = os.read(self._reading, _READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        self._append(lines)
        return True

    @edge("commands.append")
    def _append(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.strip():
                self.last_line = line.decode(errors="replace").strip()
        # A full disk must not end the run: the log has a gap then, the outcome is still recorded.
        with contextlib.suppress(OSError):
            os.write(self._log, b"".join(self._prefix + line + b"\n" for line in lines))


def _judged(call: CommandCall, code: int, last_line: str) -> pb.TaskFailure | None:
    command = call.argv[0]
    if code == 0:
        return None
    if code < 0:
        return pb.TaskFailure(
            error_class="command_killed",
            rule=f"signal {-code}",
            message=f"{command} {ending_words(code)}.{_quoted(last_line)}",
        )
    message = f"{command} {ending_words(code)}.{_quoted(last_line)}"
    if code == EXIT_TRANSIENT:
        return pb.TaskFailure(error_class="transient", rule=f"exit {code}", message=message)
    if code in _NOT_RUNNABLE:
        return pb.TaskFailure(
            error_class="missing_dependency",
            rule=f"exit {code}",
            message=message,
            remedy="Exit codes 126 and 127 say that a program was not found or may not be executed: see the log.",
        )
    return pb.TaskFailure(error_class="command_failed", rule=f"exit {code}", message=message)


def _not_started(call: CommandCall, error: OSError | ValueError) -> pb.TaskFailure:
    command, detail = call.argv[0], error.strerror if isinstance(error, OSError) else str(error)
    message = f"{command} could not be started: {detail}."
    number = error.errno if isinstance(error, OSError) else None
    if number in _NOT_FOUND:
        return pb.TaskFailure(
            error_class="missing_dependency",
            message=message,
            remedy=f"See that it exists, is executable and in the PATH of the job, and that {call.working_directory} "
            "can be entered.",
        )
    if number in _SCARCE:
        return pb.TaskFailure(error_class="transient", message=message)
    return pb.TaskFailure(
        error_class=CORRUPT_SOURCE,
        message=message,
        remedy="The item cannot be an argument of a command: it is too long or holds a NUL character.",
    )


def _quoted(last_line: str) -> str:
    return f" Its last output: {printable(last_line)}" if last_line else ""
