"""The clipboard where the terminal's own way to it (OSC 52) does not reach: inside tmux.

tmux ignores OSC 52 of programs unless it is told otherwise (`set-clipboard on`); its own `load-buffer -w` gives the
text to the terminal around it, and keeps it as a buffer of tmux as well.
"""

import asyncio
import contextlib
from collections.abc import Mapping

#: Seconds that tmux has for it.
DEADLINE = 2.0


async def copy_by_tmux(text: str, environ: Mapping[str, str]) -> bool:
    """False when tmux could not do it: too old for `-w` (3.2), not there, or not answering."""
    try:
        async with asyncio.timeout(DEADLINE):
            tmux = await asyncio.create_subprocess_exec(
                *("tmux", "load-buffer", "-w", "-"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=dict(environ),
            )
            try:
                await tmux.communicate(text.encode("utf-8", "replace"))
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    tmux.kill()
                raise
    except (OSError, TimeoutError):
        return False
    return tmux.returncode == 0
