"""What a person chose on the screen and finds again the next time: a small file beside the default state folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from milepost.common import paths
from milepost.core.errors import MilepostError
from milepost.tui.status import Status
from milepost.tui.view import JobView, Order, Sort

NAME = "tui.json"
#: Raised when what is written means something else than before; a file of a newer one is left alone.
VERSION = 1
#: Letters of a file that are read at most.
_LONGEST = 64 * 1024


@dataclass(frozen=True)
class Remembered:
    """Names and not values, so that what a version does not know can be left out. `split`: percent of the screen."""

    theme: str = ""
    filter: str = ""
    statuses: tuple[str, ...] = ()
    sort: str = ""
    reverse: bool = False
    hidden_columns: tuple[str, ...] = ()
    split: int = 0


class Memory:
    """`problem`: why there is nothing, in words; empty when all is well. Nothing is written over a newer file."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._file = paths.default_state_folder(environ) / NAME
        self._newer = False
        self.now, self.problem = self._read()
        self._written = self.now

    def change(self, **values: object) -> None:
        self.now = replace(self.now, **values)  # type: ignore[arg-type] # fields of Remembered

    def save(self) -> str:
        """Writes what has changed. Why it could not, in words; empty when all is well."""
        if self.now == self._written or self._newer:
            return ""
        self._written = self.now  # also where it fails: it is told once, not at every key
        try:
            paths.ensure_private_folder(self._file.parent)
            paths.write_private(self._file, json.dumps({"version": VERSION, **asdict(self.now)}, indent=1))
        except (MilepostError, OSError) as error:
            return f"What you chose is not remembered: {error}"
        return ""

    def _read(self) -> tuple[Remembered, str]:
        try:
            with self._file.open(encoding="utf-8") as stream:
                found = json.loads(stream.read(_LONGEST))
        except FileNotFoundError:
            return Remembered(), ""
        except (OSError, ValueError, RecursionError) as error:
            return Remembered(), f"What you had chosen cannot be read ({self._file}: {error}). It is made anew."
        if not isinstance(found, dict) or not isinstance(found.get("version"), int):
            return Remembered(), f"What you had chosen cannot be read ({self._file} is damaged). It is made anew."
        if found["version"] > VERSION:
            self._newer = True
            return Remembered(), f"{self._file} is of a newer Milepost: it is left as it is, and nothing is remembered."
        return _sound(found), ""


def recall(now: Remembered, view: JobView) -> None:
    """Sets the list up as it was; what this version does not know stays as it is."""
    if now.sort in set(Sort):
        view.order = Order(Sort(now.sort), now.reverse)
    view.statuses = frozenset(Status(name) for name in now.statuses if name in set(Status))
    try:
        view.filter(now.filter)
    except MilepostError:
        view.filter("")  # of a version that had other fields


def _sound(found: Mapping[str, object]) -> Remembered:
    """The values that are of the right kind; the rest as if nothing had been chosen."""
    sound: dict[str, object] = {}
    for part in fields(Remembered):
        value = found.get(part.name)
        if isinstance(part.default, tuple):
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                sound[part.name] = tuple(value)
        elif type(value) is type(part.default):
            sound[part.name] = value
    return Remembered(**sound)  # type: ignore[arg-type] # each checked against its field
