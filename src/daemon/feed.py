"""What one runner holds, and which tasks it gets next.

Handing out is not durable: an item that is out stands in the store as pending, and `held` keeps it from being handed
out twice. A page is read from a snapshot while commits go on, so two things are watched during the read: an item that
was released meanwhile may stand in the snapshot as it was before, and is passed over; a step that got something new
meanwhile is not taken for dry, however little the snapshot had.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from milepost.core import progress
from milepost.core.definition import PipelineDefinition
from milepost.core.model import Job, PendingTask, ReportKind, TaskRef
from milepost.daemon.records import Received
from milepost.daemon.store import tasks
from milepost.daemon.store.store import Store

#: What a runner may hold: enough that it never waits for a page, little enough for its memory.
WINDOW_TASKS = 4096
WINDOW_BYTES = 16 * 1024 * 1024
PAGE_TASKS = 1000
PAGE_BYTES = 1024 * 1024
#: Of a page that is read, whatever its tasks weigh.
_FEWEST_TASKS = 16
#: Read at once: while they are read they are there three times.
_PART_TASKS = 100


#: A task that was handed out: step, epoch, and bytes that count against the window.
_Held = tuple[int, int, int]


@dataclass
class Cursor:
    """How far the pending tasks of a step have been handed out; `dry` when the last look found no more.

    `news` rises when there may be more than the last look could see.
    """

    after_item: int = -1
    dry: bool = False
    news: int = 0

    def freshen(self) -> None:
        """More may be pending behind the last one."""
        self.dry = False
        self.news += 1


class Feed:
    def __init__(self, store: Store, definition: PipelineDefinition, held: Iterable[TaskRef]) -> None:
        """`held`: what the runner says it holds and what still counts."""
        self._store = store
        self._definition = definition
        self._held: dict[int, _Held] = {ref.item: (ref.step, ref.epoch, 0) for ref in held}
        self._held_bytes = 0
        self._cursors = [Cursor() for _ in definition.steps]
        #: Items that left the runner since the read that is under way began.
        self._released: set[int] = set()
        self._task_bytes = float(PAGE_BYTES / PAGE_TASKS)

    # --- what comes back ---

    def recorded(self, received: Received) -> None:
        """Forgets what has left the runner; looks again at steps that got something to do."""
        left: set[tuple[int, bool]] = set()  # (step, whether the task succeeded there)
        for alike in received.completed:
            if self._let_go(alike.step, alike.epoch, alike.kind, alike.items):
                left.add((alike.step, alike.kind is ReportKind.SUCCEEDED))
        for report in received.reports:
            step, item, epoch = report.ref
            if self._let_go(step, epoch, report.kind, (item,)):
                left.add((step, report.kind is ReportKind.SUCCEEDED))
        self._look_again(left)
        if received.children:
            for cursor in self._cursors:
                cursor.freshen()

    def _let_go(self, step: int, epoch: int, kind: ReportKind, items: Iterable[int]) -> bool:
        """Whether any of them was held and has left the runner."""
        succeeded = kind is ReportKind.SUCCEEDED
        following = self._definition.continues_in_runner(step) if succeeded else None
        any_left = False
        for item in items:
            held = self._held.get(item)
            if held is None or held[:2] != (step, epoch):
                continue
            if following is not None:
                self._held[item] = (following, epoch, held[2])
                continue
            self._forget(item, held)
            any_left = True
        return any_left

    def superseded(self, refs: Iterable[TaskRef]) -> None:
        """The runner drops these: what became of their items is in the store."""
        for ref in refs:
            held = self._held.get(ref.item)
            if held is not None and held[:2] == (ref.step, ref.epoch):
                self._forget(ref.item, held)
                self.look_everywhere()

    def look_everywhere(self) -> None:
        """Retries came due, or records were rewritten."""
        self._cursors = [Cursor() for _ in self._definition.steps]

    def _forget(self, item: int, held: _Held) -> None:
        del self._held[item]
        self._held_bytes -= held[2]
        self._released.add(item)

    def _look_again(self, left: set[tuple[int, bool]]) -> None:
        """After tasks have left the runner, others may be pending than the cursors know."""
        for step, succeeded in left:
            following = self._definition.next_step(step)
            if not succeeded:
                self._cursors[step] = Cursor()
            elif following is not None:
                self._cursors[following] = Cursor()
            children = self._definition.line_of_children(step)
            if children is not None:
                self._cursors[children.position].freshen()
        for shape in self._definition.steps if left else ():
            if self._definition.is_gated(shape.position):
                self._cursors[shape.position].freshen()

    # --- what goes out ---

    async def next_page(self, job: Job) -> list[PendingTask]:
        """The tasks to hand out now, deepest step first; they count as held. Empty: no room, or nothing pending."""
        room = min(PAGE_TASKS, WINDOW_TASKS - len(self._held))
        if room < 1 or self._held_bytes >= WINDOW_BYTES:
            return []
        for step in range(len(self._definition.steps) - 1, -1, -1):
            # A closed step is not dry: it may have opened since the job was read.
            while not self._cursors[step].dry and progress.is_open(self._definition, job.steps, step):
                page = await self._read(job, step, room)
                if page:
                    return page
        return []

    async def _read(self, job: Job, step: int, room: int) -> list[PendingTask]:
        cursor = self._cursors[step]
        limit = max(_FEWEST_TASKS, min(room, int(PAGE_BYTES / self._task_bytes)))
        after, news = cursor.after_item, cursor.news
        self._released.clear()

        def read(db: sqlite3.Connection) -> tuple[list[PendingTask], bool]:
            found: list[PendingTask] = []
            size, is_last = 0, False
            while len(found) < limit and size < PAGE_BYTES and not is_last:
                wanted = min(_PART_TASKS, limit - len(found))
                last = found[-1].item if found else after
                part = tasks.pending(db, job.id, self._definition, step, last, wanted)
                size += sum(map(_size, part))
                found += part
                is_last = len(part) < wanted
            return found, is_last

        found, is_last = await self._store.read(read)
        page = self._hold(found, cursor)
        if not self._released.isdisjoint(task.item for task in found):
            self._cursors[step] = Cursor()  # they may be pending anew
        elif is_last and cursor.news == news and cursor.after_item == (found[-1].item if found else after):
            cursor.dry = True
        return page

    def _hold(self, found: Iterable[PendingTask], cursor: Cursor) -> list[PendingTask]:
        page: list[PendingTask] = []
        size = 0
        held, released = self._held, self._released
        for task in found:
            if size >= PAGE_BYTES:
                break
            step, item, epoch, *_ = task
            cursor.after_item = item
            if item in held or item in released:
                continue
            bytes_of_task = _size(task)
            size += bytes_of_task
            held[item] = (step, epoch, bytes_of_task)
            page.append(task)
        self._held_bytes += size
        if page:
            self._task_bytes = size / len(page)
        return page


def _size(task: PendingTask) -> int:
    size = 100 + len(task.payload_json) + len(task.saved_json)
    return size + sum(len(result) for _, result in task.previous) if task.previous else size
