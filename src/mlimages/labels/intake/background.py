"""Writing one table of a commit while the next is being made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import pyarrow as pa

from mlimages.store import Commit

MOST_WAITING = 2  # tables in memory that wait to be written


class BackgroundCommit:
    """A commit whose tables a thread writes, in the order given. Use it in a `with` block.

    Whatever goes wrong while writing is raised by a later call, or at the end of the block.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> BackgroundCommit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            # The thread has to stand still before the commit removes what it wrote.
            self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def partition_rows(self) -> int:
        """Images of a partition."""
        return self._commit.manifest.partition_rows

    def table(
        self, name: str, columns: list[str] | None = None, partition: int | None = None
    ) -> pa.Table:
        """As `Commit.table`, with all that was given so far."""
        self.wait()
        return self._commit.table(name, columns, partition)

    def partitions(self, name: str) -> list[int]:
        """Numbers of the partitions of which a table has rows."""
        self.wait()
        return sorted({entry.partition or 0 for entry in self._commit.manifest.files.get(name, [])})

    def append(self, name: str, table: pa.Table, partition: int | None = None) -> None:
        """As `Commit.append`, soon."""
        self._submit(self._commit.append, name, table, partition)

    def replace(self, name: str, table: pa.Table, partition: int | None = None) -> None:
        """As `Commit.replace`, soon."""
        self._submit(self._commit.replace, name, table, partition)

    def wait(self) -> None:
        """Return when everything is written; raises StorageError when it cannot be."""
        while self._waiting:
            self._waiting.popleft().result()

    def _submit(
        self,
        write: Callable[[str, pa.Table, int | None], None],
        name: str,
        table: pa.Table,
        partition: int | None,
    ) -> None:
        while len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(write, name, table, partition))
