"""Reading images ahead with a time limit: a drive or network that hangs costs one image, no run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from mlimages.errors import MlimagesError, StorageError


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
        done = 0
        while self._seconds and done < len(rows):
            answers: SimpleQueue[bytes | BaseException] = SimpleQueue()
            thread = self._thread()
            thread.tasks.put((rows[done:], answers))
            for row in rows[done:]:
                try:
                    answer = answers.get(timeout=self._seconds)
                except Empty:
                    thread.abandoned = True
                    del self._mine.hold
                    answer = _no_answer(row, self._seconds)
                if isinstance(answer, BaseException) and not isinstance(answer, MlimagesError):
                    raise answer
                done += 1
                yield answer
                if thread.abandoned:
                    break
        for row in rows[done:]:
            try:
                yield self._reader.read(row)
            except MlimagesError as error:
                yield error

    def _thread(self) -> _ReadingThread:
        hold: _Hold | None = getattr(self._mine, "hold", None)
        if hold is None or not hold.thread.is_alive():  # a forked process has none of its parent's
            self._mine.hold = hold = _Hold(_ReadingThread(self._reader))
        return hold.thread


class _Hold:
    """Ends a reading thread together with the thread that it reads for."""

    def __init__(self, thread: _ReadingThread) -> None:
        self.thread = thread
        thread.start()

    def __del__(self) -> None:
        self.thread.tasks.put(None)


class _ReadingThread(threading.Thread):
    """Answers tasks of rows; a daemon, so that a hung one does not keep the process from ending."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(name="reads", daemon=True)
        self._reader = reader
        self.abandoned = False
        self.tasks: SimpleQueue[tuple[Sequence[int], SimpleQueue[bytes | BaseException]] | None] = (
            SimpleQueue()
        )

    def run(self) -> None:
        while not self.abandoned and (task := self.tasks.get()) is not None:
            rows, answers = task
            for row in rows:
                if self.abandoned:
                    return
                try:
                    answers.put(self._reader.read(row))
                except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                    answers.put(error)


def _no_answer(row: int, seconds: float) -> StorageError:
    return StorageError(
        f"image of row {row}", f"no answer in {seconds:g} s", "check the drive or the network"
    )
