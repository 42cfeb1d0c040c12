"""Settings: one frozen value, each part documented, validated, and shown with where it came from.

Weakest first: default, the file `$XDG_CONFIG_HOME/milepost/config.toml`, the environment (`MILEPOST_<NAME>`), a flag.
"""
# ruff: noqa: RUF009 - `_setting` makes a dataclass field

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from milepost.common import paths
from milepost.core.errors import Code, MilepostError

Reader = Callable[[object], object]


def _setting(description: str, read: Reader, default: object) -> Any:  # Any: dataclasses' own way to give a default
    return field(default_factory=lambda: default, metadata={"description": description, "read": read})


def _whole(low: int, high: int) -> Reader:
    def read(value: object) -> int:
        number = int(value) if isinstance(value, str) and value.strip().lstrip("-").isdecimal() else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return read


def _seconds(low: float, high: float) -> Reader:
    def read(value: object) -> float:
        problem = ValueError(f"a number of seconds from {low:g} to {high:g}")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise problem
        try:
            number = float(value)
        except ValueError:
            raise problem from None
        if not low <= number <= high:
            raise problem
        return number

    return read


def _choice(*choices: str) -> Reader:
    def read(value: object) -> str:
        for choice in choices:
            if isinstance(value, str) and value.lower() == choice.lower():
                return choice
        raise ValueError(f"one of {', '.join(choices)}")

    return read


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("a path")
    try:
        return paths.absolute(Path(value).expanduser())
    except (RuntimeError, OSError):
        raise ValueError("a path that can be made absolute") from None


def _queues(value: object) -> Mapping[str, int]:
    wanted = "queues with how many of their jobs may run at a time, as default=2,slow=1"
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        limits: dict[str, object] = {name.strip(): limit.strip() for name, _, limit in pairs}
    elif isinstance(value, Mapping):
        limits = {str(name): limit for name, limit in value.items()}
    else:
        raise ValueError(wanted)  # noqa: TRY004 - a wrong value, whatever its type
    read = _whole(1, 10_000)
    try:
        checked = {name: int(str(read(limit))) for name, limit in limits.items()}
    except ValueError:
        raise ValueError(wanted) from None
    if not all(name.isprintable() and 1 <= len(name) <= 64 for name in checked):
        raise ValueError(wanted)
    return {"default": DEFAULT_QUEUE_LIMIT, **checked}


def _keys(value: object) -> Mapping[str, str]:
    """Which names there are is the terminal UI's matter, which checks them when it starts."""
    wanted = "bindings of the terminal UI with the keys for them, as command.pause=P,list.down=j down"
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        given: dict[str, object] = {name.strip(): keys.strip() for name, _, keys in pairs}
    elif isinstance(value, Mapping):
        given = dict(_flat(value))
    else:
        raise ValueError(wanted)  # noqa: TRY004 - a wrong value, whatever its type
    if not all(name and isinstance(keys, str) and keys.strip() for name, keys in given.items()):
        raise ValueError(wanted)
    return {name: " ".join(str(keys).replace(",", " ").split()) for name, keys in given.items()}


def _flat(table: Mapping[object, object], before: str = "") -> Iterator[tuple[str, object]]:
    """TOML reads `command.pause = "P"` without quotes as a table in a table."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


DEFAULT_QUEUE_LIMIT = 2


@dataclass(frozen=True)
class Settings:
    """What a person can set. Paths are absolute, times in seconds."""

    state_dir: Path = _setting("Folder of the store, the jobs and the socket.", _path, Path())
    socket: Path | None = _setting("Socket of the daemon; in the state folder when not set.", _path, None)
    log_level: str = _setting("What the daemon logs.", _choice("debug", "info", "warning", "error"), "info")
    max_running_jobs: int = _setting("Jobs that may run at a time, all queues together.", _whole(1, 10_000), 8)
    queues: Mapping[str, int] = _setting(
        f"Jobs of each queue that may run at a time; {DEFAULT_QUEUE_LIMIT} for a queue that is not named.",
        _queues,
        {"default": DEFAULT_QUEUE_LIMIT},
    )
    auto_resume_limit: int = _setting(
        "How often a job whose runner was lost resumes by itself without progress.", _whole(0, 1000), 5
    )
    runner_lease: float = _setting(
        "Seconds that a runner goes on without the daemon before it finishes what it holds and ends.",
        _seconds(1, 30 * 86_400),
        300.0,
    )
    pause_timeout: float = _setting(
        "Seconds after which a pause that still waits for tasks is pointed out.", _seconds(0, 86_400), 60.0
    )
    silence_timeout: float = _setting(
        "Seconds after which a runner or a worker that does not answer is pointed out.", _seconds(3, 86_400), 30.0
    )
    progress_timeout: float | None = _setting(
        "Seconds after which a task without progress is pointed out; not set: three times the longest of its step.",
        _seconds(1, 1e7),
        None,
    )
    store_synchronous: str = _setting(
        "FULL survives power loss; NORMAL is faster and survives kill -9 only.", _choice("FULL", "NORMAL"), "FULL"
    )
    timeout_processing: float = _setting("Time-out of steps with timeout='processing'.", _seconds(0.1, 1e7), 3600.0)
    timeout_generation: float = _setting("Time-out of steps with timeout='generation'.", _seconds(0.1, 1e7), 1800.0)
    timeout_api: float = _setting("Time-out of steps with timeout='api'.", _seconds(0.1, 1e7), 300.0)
    timeout_file: float = _setting("Time-out of steps with timeout='file'.", _seconds(0.1, 1e7), 120.0)
    keys: Mapping[str, str] = _setting(
        "Keys of the terminal UI, by the binding's name as its help (?) shows it: command.pause=P,list.down=j down.",
        _keys,
        {},
    )
    #: Where each value came from: "default", the path of the file, "environment" or "flag".
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def timeouts(self) -> Mapping[str, float]:
        """Time-out presets by kind of operation."""
        return {
            "processing": self.timeout_processing,
            "generation": self.timeout_generation,
            "api": self.timeout_api,
            "file": self.timeout_file,
        }

    def described(self) -> list["DescribedSetting"]:
        return [
            DescribedSetting(name, _shown(getattr(self, name)), self.sources.get(name, "default"), description)
            for name, description in DESCRIPTIONS.items()
        ]


@dataclass(frozen=True)
class DescribedSetting:
    name: str
    value: str
    source: str
    description: str


DESCRIPTIONS: Mapping[str, str] = {
    part.name: part.metadata["description"] for part in fields(Settings) if "description" in part.metadata
}
_READERS: Mapping[str, Reader] = {
    part.name: part.metadata["read"] for part in fields(Settings) if "read" in part.metadata
}


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def load_settings(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    """Reads all places. `flags` by name of the setting; None counts as not given.

    Raises MilepostError(SETTING_INVALID) that names the setting, where it stands, and what is possible.
    """
    values: dict[str, object] = {"state_dir": paths.default_state_folder(environ)}
    sources: dict[str, str] = {}
    file = paths.config_file(environ)
    places: list[tuple[str, Mapping[str, object]]] = [
        (str(file), _read_file(file)),
        ("environment", {name: text for name in _READERS if (text := environ.get(f"MILEPOST_{name.upper()}"))}),
        ("flag", {name: text for name, text in flags.items() if text is not None}),
    ]
    for source, found in places:
        for name, value in found.items():
            values[name] = _read(name, value, source)
            sources[name] = source
    # The readers above made each value what its field says.
    return Settings(**values, sources=sources)  # type: ignore[arg-type]


def _read(name: str, value: object, source: str) -> object:
    read = _READERS.get(name)
    if read is None:
        raise _invalid(name, f"There is no setting {name!r} ({source}).", f"Settings: {', '.join(_READERS)}.")
    try:
        return read(value)
    except ValueError as error:
        spoken = f"MILEPOST_{name.upper()}" if source == "environment" else name
        raise _invalid(
            name, f"The setting {spoken} ({source}) cannot be {_short(value)}.", f"It takes {error}."
        ) from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _read_file(file: Path) -> Mapping[str, object]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _invalid(
            "", f"The settings file {file} cannot be read: {error.strerror}.", "Mend or remove it."
        ) from error
    import tomllib  # costs 10 ms, and most people have no such file

    try:
        return tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _invalid(
            "", f"The settings file {file} is not TOML: {error}.", "Correct it; see `milepost config`."
        ) from error


def _invalid(name: str, message: str, remedy: str) -> MilepostError:
    return MilepostError(Code.SETTING_INVALID, message, remedy, {"setting": name} if name else None)
