"""Where things lie: the state folder and the socket, found the same way by the daemon and by its clients.

The socket is `<state>/daemon.sock`, so that logging out removes nothing. Linux allows 107 bytes for its path: where the
state folder's is too long, or when `--socket` names another place, the file `<state>/socket` tells clients where it is.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from milepost.common.edges import edge
from milepost.core.errors import Code, MilepostError

MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 107
SOCKET_NAME = "daemon.sock"
SOCKET_POINTER = "socket"
LOG_NAME = "daemon.log"
LOCK_NAME = "lock"
#: Exit status of a daemon that another one came before.
FOLDER_TAKEN = 3


def default_state_folder(environ: Mapping[str, str]) -> Path:
    return _xdg_folder(environ, "XDG_STATE_HOME", ".local/state") / "milepost"


def config_file(environ: Mapping[str, str]) -> Path:
    return _xdg_folder(environ, "XDG_CONFIG_HOME", ".config") / "milepost" / "config.toml"


def absolute(path: Path) -> Path:
    """From the current folder, without `..`, and with links kept as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links


def _xdg_folder(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    given = environ.get(variable, "")
    if given.startswith("/"):  # the XDG specification: relative paths are to be ignored
        return Path(given)
    home = environ.get("HOME", "")
    return (Path(home) if home.startswith("/") else Path.home()) / below_home


def ensure_private_folder(folder: Path) -> None:
    """Makes the folder with mode 0700, or checks that it is this user's own and closed to others.

    Raises MilepostError(STATE_FOLDER_FOREIGN) when it is not, or cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MilepostError(
            Code.STATE_FOLDER_FOREIGN,
            f"The folder {folder} cannot be made: {error.strerror}.",
            "Name another one with --state-dir or MILEPOST_STATE_DIR.",
        ) from error
    check_owner(folder)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)


def check_owner(folder: Path) -> None:
    """Raises MilepostError(STATE_FOLDER_FOREIGN) when the folder is another user's; nothing when it is missing."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise MilepostError(
            Code.STATE_FOLDER_FOREIGN,
            f"The folder {folder} cannot be read: {error.strerror}.",
            "Name your own with --state-dir or MILEPOST_STATE_DIR.",
        ) from error
    if found.st_uid != os.geteuid():
        raise MilepostError(
            Code.STATE_FOLDER_FOREIGN,
            f"The folder {folder} belongs to another user (uid {found.st_uid}).",
            "Name your own with --state-dir or MILEPOST_STATE_DIR, or work as that user.",
        )


def find_socket(state_folder: Path, given: Path | None) -> Path:
    """Where a client finds the daemon of this state folder: as given, else as the daemon left word, else the default.

    Raises MilepostError (SETTING_INVALID for a path that is too long, STATE_FOLDER_FOREIGN).
    """
    if given is not None:
        return _checked_length(given)
    check_owner(state_folder)
    try:
        named = (state_folder / SOCKET_POINTER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        named = ""
    return Path(named) if named else state_folder / SOCKET_NAME


@edge("paths.place_socket")
def place_socket(state_folder: Path, given: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the daemon is to listen; leaves word in the state folder when that is not the default place.

    To be called by the one daemon that holds the folder's lock. Raises MilepostError as `find_socket`.
    """
    default = state_folder / SOCKET_NAME
    chosen = default
    if given is not None:
        chosen = _checked_length(given)
    elif len(os.fsencode(default)) > MAX_SOCKET_PATH:
        import hashlib  # rarely needed

        chosen = _short_folder(environ) / f"{hashlib.sha256(os.fsencode(state_folder)).hexdigest()[:16]}.sock"
    pointer = state_folder / SOCKET_POINTER
    if chosen == default:
        pointer.unlink(missing_ok=True)
    else:
        write_private(pointer, f"{chosen}\n")
    return chosen


def _checked_length(path: Path) -> Path:
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH:
        raise MilepostError(
            Code.SETTING_INVALID,
            f"The socket's path has {length} bytes; {MAX_SOCKET_PATH} are possible: {path}",
            "Give a shorter one with --socket or MILEPOST_SOCKET, or none: Milepost then finds a place itself.",
            {"setting": "socket"},
        )
    return path


def _short_folder(environ: Mapping[str, str]) -> Path:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and len(os.fsencode(runtime)) <= MAX_SOCKET_PATH - 40 and Path(runtime).is_dir():
        folder = Path(runtime) / "milepost"
    else:
        folder = Path(f"/tmp/milepost-{os.geteuid()}")  # noqa: S108 - owner and mode are checked
    if folder.is_symlink():
        raise MilepostError(
            Code.STATE_FOLDER_FOREIGN, f"{folder} is a link.", "Remove it, or name a socket with --socket."
        )
    ensure_private_folder(folder)
    return folder


@edge("paths.write_private")
def write_private(file: Path, text: str) -> None:
    """Replaces the file as a whole, with mode 0600. Raises OSError."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
    new.replace(file)
