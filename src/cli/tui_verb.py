"""`tui`: every job on one screen. The only place of the command line that knows the terminal UI."""

import gc
import os
import sys

from milepost.cli.context import Context
from milepost.cli.exit_codes import Exit
from milepost.cli.parser import Verbs
from milepost.core.errors import Code, MilepostError


def add_verbs(verbs: Verbs) -> None:
    parser = verbs.add(
        "tui",
        tui,
        "every job live on one screen, with a key for all that can be done; ? shows the keys",
        "milepost tui\nmilepost tui @last\nmilepost tui --no-mouse        # the terminal selects text as usual",
    )
    parser.add_argument("job", nargs="?", default="", metavar="JOB", help="where the cursor begins, as for show")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")


async def tui(context: Context) -> Exit:
    _check_terminal(context)
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)  # Textual believes them more than the terminal, whose size changes
    # Until the first paint next to nothing becomes garbage, and looking for it takes a twelfth of the start.
    gc.disable()
    from milepost.tui.app import MilepostApp  # Textual takes longer to load than other verbs to run

    app = MilepostApp(context.settings, context.environ, context.arguments.job)
    await app.run_async(mouse=not context.arguments.no_mouse)
    return Exit.UNREACHABLE if app.return_code else Exit.DONE


def _check_terminal(context: Context) -> None:
    """Raises MilepostError where nobody could see the screen or press a key."""
    # Textual reads keys from stdin and draws on stderr; whoever redirects stdout expects no screen either.
    streams = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}
    missing = [name for name, stream in streams.items() if not stream.isatty()]
    if context.json:
        what = "The terminal UI prints no JSON."
    elif missing:
        what = f"The terminal UI needs a terminal, and {missing[0]} is none."
    elif context.environ.get("TERM", "dumb") == "dumb":
        what = "The terminal UI needs a terminal that can place text (TERM is dumb or not set)."
    else:
        return
    remedy = "Use milepost watch, which prints a line whenever a job changes, or milepost ls."
    raise MilepostError(Code.INVALID_ARGUMENT, what, remedy)
