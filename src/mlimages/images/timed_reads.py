"""Reading images ahead with a time limit: a drive or network that hangs costs one image, no run."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from mlimages.errors import MlimagesError, StorageError

REMOTE_READS = 8


class Reader(Protocol):
    """What gives an image's bytes; see shards.ShardReader."""

    def read(self, row: int) -> bytes: ...


class TimedReads:
    """Reads in a thread beside each caller's, which waits no longer than the limit for an image.

    A read that hangs cannot be ended, so its thread is left to itself and another one goes on.
    """

    def __init__(self, reader: Reader, seconds: float) -> None:
        """Nothing is read yet.

        Args:
            reader: gives an image's bytes by row, in any thread.
            seconds: the longest wait for one image; 0: as long as it takes, without a thread.
        """
        self._reader, self._seconds = reader, seconds
        self._mine = threading.local()

    def __getstate__(self) -> tuple[Reader, float]:
        return self._reader, self._seconds

    def __setstate__(self, state: tuple[Reader, float]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def read(self, rows: Sequence[int]) -> Iterator[bytes | MlimagesError]:
        """The bytes of each image in turn, or why there are none."""
        if not self._seconds:
            for row in rows:
                try:
                    yield self._reader.read(row)
                except MlimagesError as error:
                    yield error
            return
        # An object store answers late but to many at once.
        count = REMOTE_READS if getattr(self._reader, "remote", False) else 1
        step = max(1, -(-len(rows) // count))
        parts = [rows[start : start + step] for start in range(0, len(rows), step)]
        tasks = [self._start(slot, part) for slot, part in enumerate(parts)]
        for slot, task in enumerate(tasks):
            yield from self._answers(slot, task)

    def _start(self, slot: int, rows: Sequence[int]) -> _Task:
        holds = self._holds()
        hold = holds.get(slot)
        if hold is None or not hold.thread.is_alive():  # a forked process has none of its parent's
            holds[slot] = hold = _Hold(_ReadingThread(self._reader))
        task = _Task(rows)
        hold.thread.tasks.put(task)
        return task

    def _holds(self) -> dict[int, _Hold]:
        """The reading threads of the calling thread."""
        if not hasattr(self._mine, "holds"):
            self._mine.holds = {}
        holds: dict[int, _Hold] = self._mine.holds
        return holds

    def _answers(self, slot: int, task: _Task) -> Iterator[bytes | MlimagesError]:
        rows = task.rows
        while rows:
            hung = not task.wait(self._seconds)
            found = task.found[:]
            for answer in found:
                if not isinstance(answer, bytes | MlimagesError):
                    raise answer
                yield answer
            if not hung:
                return
            task.abandoned = True
            self._holds().pop(slot).release.detach()
            yield _no_answer(rows[len(found)], self._seconds)
            rows = rows[len(found) + 1 :]
            task = self._start(slot, rows)


class _Task:
    """Rows to read one after the other, and what has been read."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = rows
        self.found: list[bytes | BaseException] = []
        self.abandoned = False
        self._finished: SimpleQueue[None] = SimpleQueue()

    def finish(self) -> None:
        """Wake the waiting thread: once for all rows, as each waking costs both threads time."""
        self._finished.put(None)

    def wait(self, seconds: float) -> bool:
        """Whether all rows were read, none of them within more than the seconds."""
        while True:
            before = len(self.found)
            try:
                self._finished.get(timeout=seconds)
            except Empty:
                if len(self.found) == before:
                    return False
            else:
                return True


class _Hold:
    """Ends a reading thread together with the thread that it reads for, or with the process."""

    def __init__(self, thread: _ReadingThread) -> None:
        self.thread = thread
        thread.start()
        self.release = weakref.finalize(self, _end, thread)


def _end(thread: _ReadingThread) -> None:
    thread.tasks.put(None)
    # An interpreter that shuts down under a running thread may abort.
    thread.join(timeout=1.0)


class _ReadingThread(threading.Thread):
    """Works on tasks; a daemon, so that a hung one does not keep the process from ending."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(name="reads", daemon=True)
        self._reader = reader
        self.tasks: SimpleQueue[_Task | None] = SimpleQueue()

    def run(self) -> None:
        while (task := self.tasks.get()) is not None:
            for row in task.rows:
                try:
                    answer: bytes | BaseException = self._reader.read(row)
                except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                    answer = error
                if task.abandoned:
                    return
                task.found.append(answer)
            task.finish()


def _no_answer(row: int, seconds: float) -> StorageError:
    return StorageError(
        f"image of row {row}", f"no answer in {seconds:g} s", "check the drive or the network"
    )
