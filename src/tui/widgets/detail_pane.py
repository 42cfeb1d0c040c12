"""The detail below the list: not there until it is opened for the first time, then as large as a person wants it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.containers import Vertical

from milepost.tui.rows import JobRow
from milepost.tui.shelf import Shelf

if TYPE_CHECKING:
    from milepost.common.client import Client
    from milepost.tui.widgets.detail import JobDetail

#: Shares of the screen that it takes, in percent.
SPLITS = (25, 50, 75)


class DetailPane(Vertical):
    """`client_of` and `shelf` as for JobDetail."""

    DEFAULT_CSS = """
    DetailPane { display: none; }
    DetailPane.open { display: block; }
    """

    def __init__(self, client_of: "Callable[[], Client | None]", shelf: Shelf) -> None:
        super().__init__(id="detail-pane")
        self._client_of = client_of
        self._shelf = shelf
        self._detail: JobDetail | None = None
        self.split = SPLITS[1]

    @property
    def is_open(self) -> bool:
        return self.has_class("open")

    @property
    def detail(self) -> "JobDetail | None":
        return self._detail if self.is_open else None

    @property
    def searches_log(self) -> bool:
        """Whether a person is in the log, which has a search of its own."""
        return self._detail is not None and self.has_focus_within and self._detail.shows_log

    def open(self) -> None:
        if self._detail is None:
            from milepost.tui.widgets.detail import JobDetail  # more than the list itself: not before the first paint

            self._detail = JobDetail(self._client_of, self._shelf)
            self.mount(self._detail)
        self.add_class("open")
        self.styles.height = f"{self.split}%"

    def close(self) -> None:
        self.remove_class("open")
        if self._detail is not None:
            self._detail.show(None)

    def put_away(self) -> None:
        """What was read of the job that is open, for another place where it is shown."""
        if self.detail is not None:
            self.detail.put_away()

    def show(self, row: JobRow | None) -> None:
        """The job as it was last told, while the pane is open."""
        if self._detail is not None and self.is_open and row is not None:
            self._detail.show(row.job)

    def zoom(self, by: int) -> None:
        """One share larger or smaller; opens it."""
        at = SPLITS.index(self.split) + by if self.split in SPLITS else 1
        self.split = SPLITS[max(0, min(at, len(SPLITS) - 1))]
        self.open()
