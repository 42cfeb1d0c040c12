"""Every named statement is one that SQLite accepts on the schema, and that the code uses."""

import re
import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from milepost.daemon.store import migrate
from milepost.daemon.store.queries import load

FOLDER = Path(str(resources.files("milepost.daemon.store")))
MODULES = sorted(path.stem for path in (FOLDER / "sql").glob("*.sql"))
#: Sections that are put together in Python.
PARTS = {
    "jobs": {"select", "count"},
    "items": {
        *("select", "count", "ids", "restrict", "of_label", "of_class", "in_order"),
        *("from_all", "from_failed", "from_keys", "from_troubled", "from_standing"),
    },
    "operations": {"failed_items", "count_failed", "of_keys", "in_order"},
    "filters": {"counts", "label"},
}


@pytest.mark.parametrize("module", MODULES)
def test_statements_are_accepted_and_used(module: str) -> None:
    database = sqlite3.connect(":memory:")
    for _, sql in migrate.migrations():
        database.executescript(sql)
    statements = load(module).statements
    for name, sql in statements.items():
        if name not in PARTS.get(module, ()):
            named = dict.fromkeys(re.findall(r":(\w+)", sql))
            count = max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=sql.count("?"))
            database.execute(f"EXPLAIN {sql}", named or (None,) * count).close()
    used = set(re.findall(r"\b(?:_QUERIES|q)\.(\w+)", (FOLDER / f"{module}.py").read_text(encoding="utf-8")))
    assert set(statements) == used
    database.close()


def test_an_unknown_name_is_a_mistake() -> None:
    with pytest.raises(AttributeError, match="no SQL section 'missing'"):
        _ = load("jobs").missing
