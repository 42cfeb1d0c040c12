"""A real terminal, by tmux: a shell in a window, driven by keys; what a person would see is read back as text."""

import asyncio
import re
import shlex
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.wait import DEADLINE, wait_until

PROMPT = "ready>"
#: Modes of a window that no program has changed: cursor shown; no mouse, no alternate screen, no application keypad.
UNTOUCHED = "1 0 0 0"
_MODES = "#{cursor_flag} #{mouse_any_flag} #{alternate_on} #{keypad_flag}"


class Terminal:
    """Used as `async with real_terminal(…) as terminal`. Keys have tmux's names: `p`, `X`, `Enter`."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"

    async def tmux(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        code, out, error = await self._run(*arguments, environment=environment)
        assert code == 0, f"tmux {shlex.join(arguments)}: {error}"
        return out

    async def is_there(self) -> bool:
        return (await self._run("has-session"))[0] == 0

    async def _run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *("tmux", "-u", "-f", "/dev/null", "-S", str(self._socket), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        out, error = await process.communicate()
        return process.returncode, out.decode(), error.decode()

    async def press(self, *keys: str) -> None:
        await self.tmux("send-keys", *keys)

    async def type_line(self, text: str) -> None:
        await self.tmux("send-keys", "-l", text)
        await self.press("Enter")

    async def screen(self) -> str:
        return await self.tmux("capture-pane", "-p")

    async def modes(self) -> str:
        return (await self.tmux("display-message", "-p", _MODES)).strip()

    async def resize(self, columns: int, lines: int) -> None:
        await self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    async def vanish(self) -> None:
        """As when a window is closed or a connection breaks."""
        await self.tmux("kill-server")

    async def processes(self) -> list[psutil.Process]:
        """The shell and all that was started in it."""
        shell = psutil.Process(int(await self.tmux("display-message", "-p", "#{pane_pid}")))
        return [shell, *shell.children(recursive=True)]

    async def wait_shown(self, *patterns: str, deadline: float = DEADLINE) -> str:
        """The first screen that has all of these regular expressions on it."""
        last = ""

        async def shown() -> str | None:
            nonlocal last
            last = await self.screen()
            return last if all(re.search(pattern, last, re.MULTILINE) for pattern in patterns) else None

        try:
            return await wait_until(shown, f"{patterns} on the screen", deadline)
        except AssertionError:
            raise AssertionError(f"not within {deadline:g} s: {patterns}; the screen at last:\n{last}") from None

    async def wait_gone(self, text: str) -> None:
        async def gone() -> bool:
            return text not in await self.screen()

        await wait_until(gone, f"{text!r} is not on the screen any more")


@asynccontextmanager
async def real_terminal(
    folder: Path, environment: Mapping[str, str], columns: int, lines: int
) -> AsyncIterator[Terminal]:
    """With a shell that has just said PROMPT. The test is skipped where there is no tmux."""
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    terminal = Terminal(folder)
    own = {**{name: value for name, value in environment.items() if name != "TMUX"}, "LC_ALL": "C.UTF-8"}
    await terminal.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), "sh", environment=own)
    try:
        await terminal.type_line(f"PS1='{PROMPT} '")
        await terminal.wait_shown(f"{PROMPT}$")
        yield terminal
    finally:
        if await terminal.is_there():
            await terminal.vanish()
