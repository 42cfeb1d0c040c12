"""Workers that are alike: the shared one, the processes of a step, or the one in which a suspect task runs alone."""

from collections.abc import Callable, Iterator

from milepost.runner.worker import Worker


class Pool:
    """At most `size` workers, started when tasks wait, each with at most `tasks_each` tasks (None: any number)."""

    def __init__(self, size: int, tasks_each: int | None, start: Callable[["Pool"], Worker]) -> None:
        self._size = size
        self._tasks_each = tasks_each
        self._start = start
        self.workers: list[Worker] = []

    def grow(self, wanted: int) -> None:
        """Starts workers until `wanted` more tasks find a place, as far as `size` allows."""
        if self._tasks_each is None:
            missing = 1 - len(self.workers)
        else:
            idle = sum(not worker.attempts for worker in self.workers)
            missing = min(wanted - idle, self._size - len(self.workers))
        for _ in range(missing):
            self.workers.append(self._start(self))

    def remove(self, worker: Worker) -> None:
        self.workers.remove(worker)

    def places(self, wanted: int) -> Iterator[tuple[Worker, int]]:
        """Workers, and how many tasks to send to each: `wanted` in all, or less."""
        for worker in self.workers:
            if not worker.is_ready or worker.is_killed:
                continue
            room = wanted if self._tasks_each is None else min(wanted, self._tasks_each - len(worker.attempts))
            if room > 0:
                yield worker, room
                wanted -= room
