"""What every verb works with: settings, the terminal, and the way to the daemon."""

import os
import re
import shlex
import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import milepost
from milepost.common import paths
from milepost.common.settings import Settings
from milepost.common.text import safe_lines
from milepost.core.errors import MilepostError

if TYPE_CHECKING:
    from milepost.cli.text import Cell, Paint
    from milepost.common.client import Client

#: "milepost" where a verb follows it.
_COMMAND = re.compile(r"\bmilepost(?= [a-z-]+)")
CLIENT_NAME = f"cli/{milepost.__version__}"


@dataclass(frozen=True)
class Context:
    """`arguments` are those of the verb; what they are is said by the parser next to it."""

    arguments: Namespace
    settings: Settings
    environ: Mapping[str, str]

    @property
    def json(self) -> bool:
        return bool(self.arguments.json)

    @property
    def on_terminal(self) -> bool:
        """Whether a person sees stdout."""
        return sys.stdout.isatty() and not self.json

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer."""
        return sys.stdin.isatty() and sys.stderr.isatty() and not self.json

    @property
    def paint(self) -> "Paint":
        from milepost.cli.text import Paint  # some verbs print no text of their own

        wanted = self.on_terminal and not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"
        return Paint(wanted)

    def out(self, text: str) -> None:
        print(text, flush=True)

    def out_json(self, value: object) -> None:
        from milepost.cli.documents import line

        print(line(value), flush=True)

    @property
    def columns(self) -> int | None:
        """Of the terminal that a person sees, where it has any."""
        known = os.get_terminal_size(sys.stdout.fileno()).columns if self.on_terminal else 0
        return known or None

    def out_table(self, heads: list[str], rows: "list[list[Cell | str]]") -> None:
        from milepost.cli.text import table  # as above

        self.out(table(heads, rows, self.paint, self.columns))

    def out_table_with_notes(self, heads: list[str], rows: "list[list[Cell | str]]", notes: list[str]) -> None:
        """The notes, which the last head is of, stay whole."""
        from milepost.cli.text import table_with_notes  # as above

        self.out(table_with_notes(heads, rows, notes, self.paint, self.columns))

    def say(self, text: str) -> None:
        """About the result, not part of it."""
        print(text, file=sys.stderr, flush=True)

    def fail(self, error: MilepostError, subject: str = "") -> None:
        """Tells an error to a person; the document for a program is the caller's matter."""
        message = safe_lines(error.message)
        self.say(f"error: {subject}: {message}" if subject else f"error: {message}")
        if error.remedy:
            self.say(f"next: {self.as_called(safe_lines(error.remedy))}")

    def as_called(self, advice: str) -> str:
        """Commands in a piece of advice, written so that they work here: with this program's path and its flags."""
        return _COMMAND.sub(lambda _: self._program, advice)

    @property
    def _program(self) -> str:
        given = Path(sys.argv[0])
        on_path = given.name != "milepost" or shutil.which("milepost") == str(given)
        program = ["milepost" if on_path else str(given)]
        for name, flag in (("state_dir", "--state-dir"), ("socket", "--socket")):
            if self.settings.sources.get(name) == "flag":
                program += [flag, _shortest(Path(getattr(self.settings, name)))]
        return shlex.join(program)

    def confirm(self, question: str) -> bool:
        """Asks where a person can answer and has not said --yes; elsewhere the command itself is the answer."""
        if not self.can_ask or getattr(self.arguments, "yes", False):
            return True
        try:
            return self.ask(f"{question} [y/N] ").lower() in ("y", "yes")
        except EOFError:
            return False

    def ask(self, question: str) -> str:
        """Raises EOFError where the terminal has no more, KeyboardInterrupt at Ctrl+C."""
        # asyncio's own handler only notes it, and would be heeded after Enter.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            print(question, end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
        finally:
            signal.signal(signal.SIGINT, before)
        if not answer:
            raise EOFError
        return answer.strip()

    @asynccontextmanager
    async def client(self) -> "AsyncIterator[Client]":
        """A client of the daemon, which is started when none answers."""
        from milepost.common.client import Client, is_listening  # grpc: the terminal UI paints before it loads it

        socket = paths.find_socket(self.settings.state_dir, self.settings.socket)
        if not is_listening(socket):
            await self.start_daemon()
            socket = paths.find_socket(self.settings.state_dir, self.settings.socket)
        async with Client(socket, CLIENT_NAME) as client:
            yield client

    async def start_daemon(self) -> bool:
        """False when one answers already. Raises MilepostError(DAEMON_UNREACHABLE)."""
        from milepost.common.daemon_start import ensure_daemon  # needed once in a long while

        started = await ensure_daemon(self.settings, self.environ)
        if started is None:
            return False
        self.say(f"Started the daemon for {self.settings.state_dir}, {started.how}.")
        if started.warning:
            self.say(f"warning: {started.warning}")
        return True


def _shortest(path: Path) -> str:
    """As a person would write it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def environment() -> Mapping[str, str]:
    return os.environ


def out_error_json(error: MilepostError) -> None:
    from milepost.cli.documents import error_document, line

    print(line(error_document(error)), flush=True)
