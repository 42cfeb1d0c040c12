"""For all tests: the longest files come first, so that no worker is left alone with one at the end."""

import pytest

LONGEST = frozenset({"test_terminal.py", "test_disk.py", "test_creators_job.py", "test_trees.py", "test_findings.py"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
