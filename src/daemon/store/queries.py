"""Loads the SQL of a module: after `q = load("jobs")`, `q.by_id` is the text of the section `-- name: by_id`."""

import re
from importlib import resources

_SECTION = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Queries:
    """The named statements of one `.sql` file, as attributes."""

    def __init__(self, statements: dict[str, str]) -> None:
        self.statements = statements

    def __getattr__(self, name: str) -> str:
        try:
            return self.__dict__["statements"][name]  # type: ignore[no-any-return]  # a dict of str
        except KeyError:
            raise AttributeError(f"no SQL section {name!r}") from None


def load(module: str) -> Queries:
    text = resources.files("milepost.daemon.store.sql").joinpath(f"{module}.sql").read_text(encoding="utf-8")
    _, *parts = _SECTION.split(text)
    return Queries(dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True)))
