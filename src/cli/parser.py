"""The grammar of the command line. Verbs are declared next to what they do; this is what they are declared with."""

import argparse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn

from milepost.cli.context import Context
from milepost.cli.exit_codes import Exit
from milepost.common.text import shell_words
from milepost.core.errors import Code, MilepostError

Verb = Callable[[Context], Awaitable[Exit]]


class Parser(argparse.ArgumentParser):
    """Raises MilepostError for a wrong command line, so that it is told like every other error."""

    def error(self, message: str) -> NoReturn:
        raise MilepostError(Code.INVALID_ARGUMENT, f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # Any: as argparse declares it
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        name = "/".join(action.option_strings) or str(action.metavar)
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            f"{name} is {value!r}, which is none of {', '.join(known)}.",
            f"{did_you_mean(str(value), known)}See {self.prog} --help.",
        )

    def refuse_unknown(self, unknown: Sequence[str]) -> NoReturn:
        """Raises MilepostError(INVALID_ARGUMENT) for arguments that this verb does not have."""
        flags = (word.partition("=")[0] for word in unknown if word.startswith("--"))
        meant = "".join(did_you_mean(flag, self._option_string_actions) for flag in flags)
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            f"{self.prog} has no argument {shell_words(unknown)}.",
            f"{meant}See {self.prog} --help.",
        )


class Verbs:
    """Where verbs are added: `verbs.add("pause", pause, "…", "examples")` gives the parser for its arguments."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._added = parser.add_subparsers(metavar="VERB", parser_class=Parser)

    def add(self, name: str, verb: Verb, summary: str, examples: str = "") -> argparse.ArgumentParser:
        parser = self._new(name, summary, examples)
        parser.set_defaults(verb=verb, grammar=parser)
        return parser

    def group(self, name: str, summary: str) -> "Verbs":
        parser = self._new(name, summary, "")
        nested = Verbs(parser)
        nested._added.required = True
        nested._added.dest = "subverb"
        return nested

    def _new(self, name: str, summary: str, examples: str) -> Parser:
        parser: Parser = self._added.add_parser(
            name,
            help=summary,
            description=f"{summary[:1].upper()}{summary[1:]}.",
            epilog=f"examples:\n{_indented(examples)}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        # SUPPRESS: a flag given before the verb is not to be undone by the verb's default.
        add_common(parser, default=argparse.SUPPRESS)
        return parser


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def add_common(parser: argparse.ArgumentParser, default: str | None) -> None:
    common = parser.add_argument_group("everywhere")
    common.add_argument("--state-dir", metavar="FOLDER", default=default, help="state folder (MILEPOST_STATE_DIR)")
    common.add_argument("--socket", metavar="PATH", default=default, help="socket of the daemon (MILEPOST_SOCKET)")
    common.add_argument(
        "--json",
        action="store_true",
        default=False if default is None else default,
        help="print JSON: one document, or one object a line for streams",
    )


def add_jobs(parser: argparse.ArgumentParser, wait: str) -> None:
    """For verbs that act on several jobs; `wait` says what --wait waits for."""
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="id, unique prefix of one, unique name, or @last")
    parser.add_argument("--filter", metavar="FILTER", help="every job that matches, as 'state = FAILED AND failed > 0'")
    parser.add_argument("--wait", action="store_true", help=f"wait {wait}")


def add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="id, unique prefix of one, unique name, or @last")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.lstrip("-").isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return key, value


def one_of(*choices: str) -> Callable[[str], str]:
    """A choice in either case."""

    def read(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}")

    return read


def did_you_mean(word: str, known: Iterable[str], before: str = "") -> str:
    """A sentence and a space, or nothing where none is close."""
    from difflib import get_close_matches  # only for mistakes

    close = get_close_matches(word, known, n=1)
    return f"Did you mean {before}{close[0]}? " if close else ""


def split_command(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first `--`, and the command after it; None when there is no `--`."""
    if "--" not in arguments:
        return list(arguments), None
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])
