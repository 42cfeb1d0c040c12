"""`milepost`: reads the command line, runs one verb, and turns what came of it into words and an exit status."""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import NoReturn

import milepost
from milepost.cli.context import Context, environment, out_error_json
from milepost.cli.exit_codes import EXIT_OF, Exit
from milepost.cli.parser import Parser, Verb, Verbs, add_common, did_you_mean, split_command
from milepost.common.ending import end_process
from milepost.common.settings import load_settings
from milepost.common.text import safe, safe_lines, shell_words
from milepost.core.errors import Code, MilepostError

#: Where verbs live, in the order of --help.
MODULES: Mapping[str, tuple[str, ...]] = {
    "submit": ("run", "submit"),
    "tui_verb": ("tui",),
    "follow_verbs": ("attach", "watch"),
    "jobs": ("ls", "show", "path", "inspect"),
    "control": ("pause", "resume", "restart", "cancel", "force-cancel", "retry"),
    "items": ("items", "results"),
    "events": ("events", "logs"),
    "stats": ("stats",),
    "daemon_verbs": ("daemon", "config", "version"),
}

_DESCRIPTION = """\
Runs long batch jobs that must not be lost: submit, watch, pause, resume, restart, cancel.
Alone it tells what changed since you last looked, and what needs you."""
_EPILOG = """\
a first look:
  milepost run pipeline.py --input rows.csv      submit a job and follow it; Ctrl+C pauses it
  milepost run --each urls.txt -- curl -sfO {}   a command for each line, resumed by line
  milepost tui                                   every job live, and a key for all that can be done
  milepost ls                                    what there is
  milepost resume @last                          go on where it stopped

exit status: 0 done, 1 the job failed or did not get to its end, 2 usage, 3 not allowed in this state, 4 not found,
  5 daemon unreachable, 6 completed with failed items, 130 paused by Ctrl+C"""


def build_parser(modules: Iterable[str] = tuple(MODULES)) -> Parser:
    parser = Parser(
        prog="milepost",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_common(parser, default=None)
    parser.add_argument("--version", action="version", version=f"milepost {milepost.__version__}")
    verbs = Verbs(parser)
    for name in modules:
        importlib.import_module(f"milepost.cli.{name}").add_verbs(verbs)
    return parser


def modules_for(arguments: Sequence[str]) -> Sequence[str]:
    """Only what the verb needs: each module costs about as much as the whole call to the daemon."""
    verb = _verb_of(arguments)
    if verb is None:
        return list(MODULES)
    for name, verbs in MODULES.items():
        if verb in verbs:
            return [name]
    raise _unknown(verb)


def _verb_of(arguments: Sequence[str]) -> str | None:
    left = iter(arguments)
    for argument in left:
        if argument in ("--state-dir", "--socket"):
            next(left, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _unknown(verb: str) -> MilepostError:
    meant = did_you_mean(verb, [known for verbs in MODULES.values() for known in verbs], "milepost ")
    return MilepostError(Code.INVALID_ARGUMENT, f"There is no verb {verb!r}.", f"{meant}All of them: milepost --help.")


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
    if before[:1] == ["help"]:
        before = [*before[1:], "--help"]
    parsed = _parse(before, has_command=command is not None)
    parsed.command = command
    if command is not None and not getattr(parsed, "takes_command", False):
        raise MilepostError(
            Code.INVALID_ARGUMENT, "Only run and submit take a command after --.", "See milepost run --help."
        )
    settings = load_settings({"state_dir": parsed.state_dir, "socket": parsed.socket}, environment())
    verb: Verb = getattr(parsed, "verb", _overview)
    context = Context(parsed, settings, environment())
    try:
        return asyncio.run(_finished(verb(context)))
    except MilepostError as error:
        advice = context.as_called(error.remedy)
        raise MilepostError(error.code, error.message, advice, error.metadata) from error


def _parse(arguments: Sequence[str], *, has_command: bool) -> argparse.Namespace:
    parser = build_parser(modules_for(arguments))
    parsed, unknown = parser.parse_known_args(arguments)
    if getattr(parsed, "each", None) is not None and parsed.pipeline is not None and not has_command:
        _refuse_command_without_dashes(parser, arguments)
    if unknown:
        getattr(parsed, "grammar", parser).refuse_unknown(unknown)
    return parsed


def _refuse_command_without_dashes(parser: Parser, arguments: Sequence[str]) -> None:
    """The command begins where the first word is that is neither an option nor its value."""
    for end in range(1, len(arguments) + 1):
        try:
            parsed, _ = parser.parse_known_args(arguments[:end])
        except MilepostError:  # an option whose value comes next
            continue
        if getattr(parsed, "pipeline", None) is None:
            continue
        if parsed.each is not None:
            own, command = shell_words(arguments[: end - 1]), shell_words(arguments[end - 1 :])
            raise MilepostError(
                Code.INVALID_ARGUMENT,
                "The command for each line goes after --, so that its options are its own.",
                f"Write: milepost {own} -- {command}",
            )
        return


async def _overview(context: Context) -> Exit:
    from milepost.cli.overview import overview

    return await overview(context)


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


def run_verb() -> NoReturn:
    """The whole process of a verb."""
    end_process(main())


if __name__ == "__main__":
    run_verb()
