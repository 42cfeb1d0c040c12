"""What waits for the daemon: batches on their way or still growing. A batch leaves when it is known to be durable.

The last batch grows until it is sent; from then on its number and content are fixed, also over a reconnect. At most two
are on the way, so a batch is what finished while the ones before it travelled. Within a batch the daemon applies saved
states and children before reports, so a task's report never overtakes what the task gave before; and what the item's
next task gives begins a new batch, so that it does not overtake that report.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from milepost.common.wire.runner import COMPLETED, children_to_proto
from milepost.runner.frames import Result
from milepost.runner.ledger import Ref
from milepost.v1 import runner_service_pb2 as pb

MAX_ENTRIES = 1000
MAX_BYTES = 1_000_000
MAX_ON_THE_WAY = 2
#: A single entry above this cannot travel: a gRPC message is capped at 16 MiB.
MAX_ENTRY = 12 * 1024 * 1024

_ENTRY_OVERHEAD = 64

Children = Sequence[tuple[str, str]]
#: A task with its result, start and end in Unix microseconds, and folder.
Completed = tuple[Ref, str, int, int, str]


class _Outgoing:
    """A batch and who waits until it is durable. What completed is gathered, and put in in columns at the end."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.batch = pb.Batch(sequence=sequence)
        self.completed: defaultdict[Alike, list[Completed]] = defaultdict(list)
        self.entries = 0
        self.bytes = 0
        self.is_sealed = False
        self.on_durable: list[Callable[[], None]] = []
        self.done: list[Ref] = []
        self.reported_items: set[int] = set()

    def has_room(self, size: int) -> bool:
        return not self.is_sealed and self.entries < MAX_ENTRIES and self.bytes + size <= MAX_BYTES

    def end(self, refs: list[Ref]) -> None:
        """For good."""
        self.done += refs
        self.reported_items.update([ref.item for ref in refs])

    def message(self) -> pb.Batch:
        """As it is now."""
        del self.batch.completed[:]
        for alike, rows in self.completed.items():
            refs, results_json, start_us, end_us, folders = zip(*rows, strict=True)
            self.batch.completed.add(
                step=alike.step,
                epoch=alike.epoch,
                kind=alike.kind,
                label=alike.label,
                items=[ref.item for ref in refs],
                results_json=results_json,
                start_us=start_us,
                end_us=end_us,
                folders=folders if any(folders) else (),
            )
        return self.batch


class Alike(msgspec.Struct, frozen=True, gc=False):
    """What tasks that completed have in common in a `pb.Completed`."""

    step: int
    epoch: int
    kind: "pb.ReportKind.ValueType"
    label: str


class Outbox:
    """`wake` is called when there is something to send; `bytes` is the size of all that is not yet durable."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._batches: deque[_Outgoing] = deque()
        self._on_the_way = 0
        self._last_sequence = 0
        self.bytes = 0
        #: Tasks that ended for good, by reports not yet known to be durable.
        self.done: set[Ref] = set()

    def report(self, ref: Ref, result: Result) -> None:
        """An entry that is too large to travel is reported as a failed attempt."""
        size = _ENTRY_OVERHEAD + len(result.result_json) + _size(result.children)
        if result.failure is not None:
            size += len(result.failure.message) + len(result.failure.traceback)
        if size > MAX_ENTRY:
            result, size = _too_large(result, size), _ENTRY_OVERHEAD
        if result.kind in COMPLETED and not result.enumeration:
            alike = Alike(ref.step, ref.epoch, result.kind, result.label)
            self.complete(alike, [(ref, result.result_json, result.start_us, result.end_us, result.folder)])
            return
        outgoing = self._room(size)
        outgoing.reported_items.add(ref.item)
        if result.kind in COMPLETED:
            outgoing.end([ref])
            self.done.add(ref)
        outgoing.batch.reports.append(_report(ref, result))

    def complete(self, alike: Alike, tasks: list[Completed]) -> None:
        """One task, or several that together fit into any message."""
        while tasks:
            outgoing = self._open(_size_of(tasks))
            free = MAX_ENTRIES - outgoing.entries
            taken, tasks = tasks[:free], tasks[free:]
            refs = [ref for ref, _, _, _, _ in taken]
            outgoing.completed[alike] += taken
            outgoing.end(refs)
            self.done.update(refs)
            self._count(outgoing, len(taken), _size_of(taken))

    def children(
        self, ref: Ref, enumeration: int, first: int, children: Children, on_durable: Callable[[], None]
    ) -> None:
        self._begin_behind_reports_of(ref.item)
        outgoing = self._room(_ENTRY_OVERHEAD + _size(children))
        outgoing.batch.children.add(
            task=ref.message(),
            enumeration=enumeration,
            first_position=first,
            children=children_to_proto(children),
        )
        outgoing.on_durable.append(on_durable)
        self._wake()

    def saved(self, ref: Ref, state_json: str, on_durable: Callable[[], None]) -> None:
        self._begin_behind_reports_of(ref.item)
        outgoing = self._room(_ENTRY_OVERHEAD + len(state_json))
        outgoing.batch.saved.add(task=ref.message(), state_json=state_json)
        outgoing.on_durable.append(on_durable)
        self._wake()

    def next_batch(self) -> pb.Batch | None:
        """The one to send now; it counts as on the way."""
        if self._on_the_way >= MAX_ON_THE_WAY or not self.has_unsent:
            return None
        outgoing = self._batches[self._on_the_way]
        outgoing.is_sealed = True
        self._on_the_way += 1
        return outgoing.message()

    def acknowledge(self, sequence: int) -> None:
        """Every batch up to this one is durable."""
        while self._batches and self._batches[0].sequence <= sequence:
            outgoing = self._batches.popleft()
            self._on_the_way = max(0, self._on_the_way - 1)
            self.bytes -= outgoing.bytes
            self.done.difference_update(outgoing.done)
            for tell in outgoing.on_durable:
                tell()
        self._wake()

    def send_again(self) -> None:
        """After a reconnect: what is not known to be durable travels once more."""
        self._on_the_way = 0

    @property
    def has_unsent(self) -> bool:
        return len(self._batches) > self._on_the_way

    @property
    def is_waited_for(self) -> bool:
        """Whether the next batch is full, or somebody waits until it is durable."""
        unsent = len(self._batches) - self._on_the_way
        return unsent > 1 or (unsent == 1 and bool(self._batches[-1].on_durable))

    @property
    def is_empty(self) -> bool:
        return not self._batches

    def batches(self) -> Iterator[pb.Batch]:
        return (outgoing.message() for outgoing in self._batches)

    def _begin_behind_reports_of(self, item: int) -> None:
        if self._batches and item in self._batches[-1].reported_items:
            self._batches[-1].is_sealed = True

    def _room(self, size: int) -> _Outgoing:
        """The batch that takes an entry of this size, which is counted."""
        outgoing = self._open(size)
        self._count(outgoing, 1, size)
        return outgoing

    def _open(self, size: int) -> _Outgoing:
        if not self._batches or not self._batches[-1].has_room(size):
            self._last_sequence += 1
            self._batches.append(_Outgoing(self._last_sequence))
            self._wake()
        return self._batches[-1]

    def _count(self, outgoing: _Outgoing, entries: int, size: int) -> None:
        outgoing.entries += entries
        outgoing.bytes += size
        self.bytes += size


def _report(ref: Ref, result: Result) -> pb.Report:
    return pb.Report(
        task=ref.message(),
        kind=result.kind,
        label=result.label,
        result_json=result.result_json,
        start_us=result.start_us,
        end_us=result.end_us,
        folder=result.folder,
        failure=result.failure,
        children=children_to_proto(result.children) if result.children else None,
        enumeration=result.enumeration,
        enumerated=result.enumerated,
    )


def _too_large(result: Result, size: int) -> Result:
    failure = pb.TaskFailure(
        error_class="result_too_large",
        message=f"What the task gave back is {size:,} bytes of JSON; {MAX_ENTRY:,} can be recorded.",
        remedy="Give back less, or write it to the task's folder and give back the file's name.",
    )
    return Result(
        result.id, pb.REPORT_KIND_FAILED, "", "", result.start_us, result.end_us, result.folder, failure=failure
    )


def _size_of(tasks: list[Completed]) -> int:
    return sum([_ENTRY_OVERHEAD + len(result_json) for _, result_json, _, _, _ in tasks])


def _size(children: Children | None) -> int:
    return sum([_ENTRY_OVERHEAD + len(key) + len(payload) for key, payload in children]) if children else 0
