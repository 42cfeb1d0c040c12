"""`milepost`: reads the command line, runs one verb, and turns what came of it into words and an exit status."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Sequence

from milepost.cli import control, daemon_verbs, events, follow_verbs, items, jobs, overview, submit
from milepost.cli.context import Context, environment, out_error_json
from milepost.cli.exit_codes import EXIT_OF, Exit
from milepost.cli.parser import Parser, Verb, Verbs, add_common, split_command
from milepost.cli.text import safe, safe_lines
from milepost.common.settings import load_settings
from milepost.core.errors import Code, MilepostError

_DESCRIPTION = """\
Runs long batch jobs that must not be lost: submit, watch, pause, resume, restart, cancel.
Alone it tells what changed since you last looked, and what needs you."""
_EPILOG = """\
a first look:
  milepost run pipeline.py --input rows.csv      submit a job and follow it; Ctrl+C pauses it
  milepost run --each urls.txt -- curl -sfO {}   a command for each line, resumed by line
  milepost ls                                    what there is
  milepost resume @last                          go on where it stopped

exit status: 0 done, 1 the job failed or did not get to its end, 2 usage, 3 not allowed in this state, 4 not found,
  5 daemon unreachable, 6 completed with failed items, 130 paused by Ctrl+C"""


def build_parser() -> Parser:
    import argparse

    parser = Parser(
        prog="milepost",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_common(parser, default=None)
    parser.set_defaults(verb=overview.overview)
    verbs = Verbs(parser)
    for module in (submit, follow_verbs, jobs, control, items, events, daemon_verbs):
        module.add_verbs(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(_run(given))
    except MilepostError as error:
        return int(_tell(error, wants_json="--json" in split_command(given)[0]))
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.DONE)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return int(Exit.INTERRUPTED)


def _run(given: list[str]) -> Exit:
    if sys.platform != "linux":
        raise MilepostError(
            Code.UNSUPPORTED_PLATFORM, "Milepost runs on Linux only.", "Run it there, or in a container."
        )
    for argument in given:
        _check_unicode(argument)
    before, command = split_command(given)
    parsed = build_parser().parse_args(before)
    parsed.command = command
    if command is not None and not getattr(parsed, "takes_command", False):
        raise MilepostError(
            Code.INVALID_ARGUMENT, "Only run and submit take a command after --.", "See milepost run --help."
        )
    settings = load_settings({"state_dir": parsed.state_dir, "socket": parsed.socket}, environment())
    verb: Verb = parsed.verb
    return asyncio.run(_finished(verb(Context(parsed, settings, environment()))))


async def _finished(verb: Awaitable[Exit]) -> Exit:
    return await verb


def _check_unicode(argument: str) -> None:
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            f"The argument {safe(argument)} is not UTF-8.",
            "Rename the file, or write the text in UTF-8.",
        ) from error


def _tell(error: MilepostError, *, wants_json: bool) -> Exit:
    print(f"error: {safe_lines(error.message)}", file=sys.stderr)
    if error.remedy:
        print(f"next: {safe_lines(error.remedy)}", file=sys.stderr)
    if wants_json:
        out_error_json(error)
    return EXIT_OF[error.code]


if __name__ == "__main__":
    sys.exit(main())
