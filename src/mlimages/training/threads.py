"""Threads that read and decode ahead: the decoder, OpenCV and numba leave Python's lock alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from mlimages.errors import MlimagesError, require
from mlimages.images.shards import ShardReader

READ_AHEAD = 64


@contextmanager
def image_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what it has not begun when it is left, for instance by Ctrl-C."""
    cv2 = require("cv2", extra="train")
    threads = cv2.getNumThreads()
    # OpenCV's own threads would spin beside ours: on small images they double the processor time.
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def read_images(
    reader: ShardReader, rows: np.ndarray, minimum_side: int | None, workers: int = 2
) -> Iterator[tuple[int, np.ndarray | str]]:
    """Decode images in order, reading ahead in other threads.

    Yields:
        (position in `rows`, RGB uint8 [height, width, 3]), or the reason in the image's place when
        it is broken.
    """

    def read(row: int) -> np.ndarray | str:
        try:
            return reader.image(row, minimum_side)
        except MlimagesError as error:
            return error.cause

    pending: deque[Future[np.ndarray | str]] = deque()
    with image_threads(workers) as pool:
        for position in range(len(rows)):
            while len(pending) < READ_AHEAD and position + len(pending) < len(rows):
                pending.append(pool.submit(read, int(rows[position + len(pending)])))
            yield position, pending.popleft().result()
