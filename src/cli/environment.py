"""What of the submitter's surroundings a job gets: interpreter, working directory, environment (E1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from milepost.common.paths import absolute
from milepost.core.errors import Code, MilepostError

_SECRET_WORD = re.compile(
    r".*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH)S?|PWD|PASS|PAT|COOKIES?|DSN|BEARER|JWT"
)
#: As postgres://user:password@host.
_PASSWORD_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@")
#: Of a terminal or a login session: wrong, or gone, when the job runs.
_SESSION = re.compile(
    r"_|TERM|COLORTERM|COLUMNS|LINES|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|STY|WINDOW|WINDOWID|SHLVL|PWD|OLDPWD"
    r"|PS[0-9]|PROMPT_COMMAND|HISTFILE|TTY|GPG_TTY|LS_COLORS|MAIL|DESKTOP_SESSION|SESSION_MANAGER|WT_SESSION"
    r"|DBUS_SESSION_BUS_ADDRESS|XDG_RUNTIME_DIR|INVOCATION_ID|JOURNAL_STREAM|NOTIFY_SOCKET|MAINPID|MANAGERPID"
    r"|(?:TERM|SSH|TMUX|XDG_SESSION|XDG_SEAT|XDG_VTNR|LISTEN|WATCHDOG|GNOME|KDE|VSCODE|BASH_FUNC|MILEPOST|SYSTEMD)_.*"
    r"|TMUX|XDG_SEAT|XDG_VTNR|BASH_FUNC.*",
    re.DOTALL,
)


@dataclass(frozen=True)
class RecordedEnvironment:
    """Variables for the job, and the names of those left out because they look like secrets."""

    variables: Mapping[str, str]
    omitted: tuple[str, ...]


def record_environment(environ: Mapping[str, str]) -> RecordedEnvironment:
    variables: dict[str, str] = {}
    omitted: list[str] = []
    for name, value in sorted(environ.items()):
        if _SESSION.fullmatch(name) or not _is_text(name + value):
            continue
        if looks_secret(name, value):
            omitted.append(name)
        else:
            variables[name] = value
    return RecordedEnvironment(variables, tuple(omitted))


def looks_secret(name: str, value: str) -> bool:
    words = re.split(r"[^A-Z0-9]+", name.upper())
    return any(_SECRET_WORD.fullmatch(word) for word in words) or bool(_PASSWORD_IN_URL.search(value))


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def choose_interpreter(given: str | None, environ: Mapping[str, str], start: Path) -> str:
    """`--python`, else the active virtual environment's, else that of the nearest `.venv` from `start` upwards.

    "" leaves it to the daemon. Raises MilepostError(INTERPRETER_UNUSABLE) when `given` is not there. Links are kept:
    a virtual environment is known by the link's own place.
    """
    if given:
        return _given_interpreter(given, environ)
    active = environ.get("VIRTUAL_ENV")
    if active and (python := Path(active, "bin", "python")).exists():
        return str(absolute(python))
    for folder in (start, *start.parents):
        python = folder / ".venv" / "bin" / "python"
        if python.exists():
            return str(absolute(python))
    return ""


def _given_interpreter(given: str, environ: Mapping[str, str]) -> str:
    import shutil

    found = shutil.which(given, path=environ.get("PATH"))
    path = Path(given)
    if found is None and (path / "bin" / "python").exists():
        found = str(path / "bin" / "python")  # the folder of a virtual environment
    if found is None:
        raise MilepostError(
            Code.INTERPRETER_UNUSABLE,
            f"There is no interpreter {given}.",
            "Name an executable, or the folder of a virtual environment.",
            {"field": "python"},
        )
    return str(absolute(Path(found)))
