"""Checking images in processes that can be killed: a bad file costs its own life, nothing else.

    with Verifier(ImageSettings()) as verifier:
        future = verifier.submit(data)
        future.result().reason

One thread speaks to all processes. Images travel in batches, so that small ones cost little more
than their decoding, and each process has its next batch before it has ended the one in hand.
An image on which a process dies or hangs is tried once more, alone: then it is that image, and not
one of its batch or somebody who killed the process.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future

from mlimages.errors import MlimagesError
from mlimages.images.preparation import Verified
from mlimages.images.rejection import Reason
from mlimages.images.settings import ImageSettings
from mlimages.images.verification_process import (
    BATCHES_IN_FLIGHT,
    Job,
    Worker,
    start_worker,
    stop_worker,
)
from mlimages.images.verification_worker import READY, RECORD, unpack_result

__all__ = ["ImageSettings", "Verified", "Verifier"]

SECONDS = 30.0
_BATCH_IMAGES, _BATCH_BYTES = 64, 1 << 19
# A process that is busy is handed its next batch once that is worth a message.
_WORTH_IMAGES, _WORTH_BYTES = 32, 1 << 18
_NEVER = 1 << 62
_RECEIVE_BYTES = 1 << 18
_START_SECONDS = 120.0
_STARTS = 3  # in a row that may fail before it is no accident


class Verifier:
    """A pool of processes that run `preparation.prepare`; a context manager."""

    def __init__(
        self,
        settings: ImageSettings | None = None,
        *,
        workers: int | None = None,
        seconds: float = SECONDS,
        md5: bool = True,
        function: str = "mlimages.images.preparation:prepare",
    ) -> None:
        """Start nothing yet: the first image does.

        Args:
            settings: how images are checked and kept.
            workers: processes; one a core by default.
            seconds: that a single image may take.
            md5: whether results tell the MD5 of the bytes that came.
            function: module:name of what the processes run instead, of the same signature.
        """
        self.settings = settings or ImageSettings()
        self.workers = workers or os.cpu_count() or 1
        self._seconds, self._function = seconds, function
        self._options = {"settings": self.settings.to_dict(), "md5": md5, "seconds": seconds}
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._alone: deque[Job] = deque()  # to be tried once more
        self._waiting_bytes = 0
        self._closed = False
        self._wake_at = 1  # images that wait, or as many bytes as are worth it, wake the thread
        self._failed_starts = 0
        self._running: list[Worker] = []
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Verifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, data: bytes) -> Future[Verified]:
        """Have an image checked; whoever submits limits how many wait.

        The future gives a result for whatever bytes; it raises MlimagesError only when no process
        can be started at all, and is cancelled by `close`.
        """
        job = Job(data, Future())
        with self._lock:
            if self._closed:
                raise RuntimeError("this verifier is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="verify", daemon=True)
                self._thread.start()
            self._waiting.append(job)
            self._waiting_bytes += len(data)
            wake = len(self._waiting) >= self._wake_at or (
                self._wake_at == _WORTH_IMAGES and self._waiting_bytes >= _WORTH_BYTES
            )
            if wake:
                self._wake_at = _NEVER
        if wake:
            self._wake.send(b"\0")
        return job.future

    def process_ids(self) -> list[int]:
        """Of the processes that run now."""
        return [worker.process.pid for worker in list(self._running)]

    def close(self) -> None:
        """Stop all processes at once; futures without a result are cancelled."""
        with self._lock:
            self._closed = True
        self._wake.send(b"\0")
        if self._thread is not None:
            self._thread.join()
        for end in (self._wake, self._woken, self._selector):
            end.close()

    def _serve(self) -> None:
        error: BaseException | None = None
        try:
            while not self._closed:
                self._hand_out()
                for key, events in self._selector.select(self._patience()):
                    if key.data is None:
                        _drain(self._woken)
                    else:
                        self._attend(key.data, events)
                self._kill_hung()
        except BaseException as raised:  # noqa: BLE001 - whoever waits has to hear of it
            error = raised
        with self._lock:
            self._closed = True
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        jobs = [*self._alone, *self._waiting]
        for worker in self._running:
            jobs += [job for batch in worker.batches for job in batch]
            stop_worker(worker)
        for job in jobs:
            if error is None:
                job.future.cancel()
            else:
                job.future.set_exception(error)

    def _hand_out(self) -> None:
        """Give each process that has room its next batch; start processes for what waits."""
        with self._lock:
            waiting = len(self._waiting) + len(self._alone)
        starting = sum(not worker.ready for worker in self._running)
        while len(self._running) < self.workers and starting < waiting:
            self._start()
            starting += 1
        for room in range(1, BATCHES_IN_FLIGHT + 1):
            for worker in self._running:
                if (
                    worker.ready
                    and len(worker.batches) < room
                    and (batch := self._next_batch(room))
                ):
                    self._send(worker, batch)
        held = [len(worker.batches) for worker in self._running if worker.ready]
        with self._lock:
            if len(self._running) < self.workers or 0 in held:
                self._wake_at = 1
            else:  # what processes say wakes the thread, too
                self._wake_at = _WORTH_IMAGES if 1 in held else _NEVER

    def _next_batch(self, room: int) -> deque[Job]:
        with self._lock:
            if self._alone:
                return deque([self._alone.popleft()])
            few = len(self._waiting) < _WORTH_IMAGES and self._waiting_bytes < _WORTH_BYTES
            if room > 1 and few:
                return deque()
            # An equal share for all, so that the last images do not queue behind one process.
            share = -(-len(self._waiting) // (BATCHES_IN_FLIGHT * self.workers))
            batch: deque[Job] = deque()
            size = 0
            while self._waiting and len(batch) < min(share, _BATCH_IMAGES) and size < _BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].data)
            self._waiting_bytes -= size
        return batch

    def _send(self, worker: Worker, batch: deque[Job]) -> None:
        if not worker.batches:
            worker.progress = time.monotonic()
        worker.load(batch)
        self._write(worker)

    def _attend(self, worker: Worker, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write(worker)
        if events & selectors.EVENT_READ:
            try:
                received = worker.connection.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                received = b""
            if received:
                worker.progress = time.monotonic()
                worker.incoming += received
                self._take_in(worker)
            else:
                self._bury(worker)

    def _write(self, worker: Worker) -> None:
        try:
            while worker.outgoing:
                parts = [worker.outgoing[i] for i in range(min(len(worker.outgoing), 256))]
                sent = worker.connection.sendmsg(parts)
                while sent:
                    part = worker.outgoing.popleft()
                    if sent < len(part):
                        worker.outgoing.appendleft(part[sent:])
                    sent -= min(sent, len(part))
        except BlockingIOError:
            pass
        except ConnectionError:
            worker.outgoing.clear()  # it died: reading tells
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outgoing else 0)
        if self._selector.get_key(worker.connection).events != events:
            self._selector.modify(worker.connection, events, worker)

    def _take_in(self, worker: Worker) -> None:
        """Resolve the futures of all results that have come in whole."""
        incoming, position = worker.incoming, 0
        if not worker.ready:
            worker.ready, position, self._failed_starts = True, len(READY), 0
        while worker.batches and position + RECORD.size <= len(incoming):
            start = position + RECORD.size
            record = bytes(incoming[position:start])
            end = start + RECORD.unpack(record)[-2]
            if end > len(incoming):
                break
            job = worker.batches[0].popleft()
            if not worker.batches[0]:
                worker.batches.popleft()
            job.future.set_result(unpack_result(record, job.data, bytes(incoming[start:end])))
            position = end
        del incoming[:position]

    def _kill_hung(self) -> None:
        now = time.monotonic()
        for worker in list(self._running):
            if worker.batches and now - worker.progress > self._seconds + 0.1:
                self._bury(worker, hung=True)
            elif not worker.ready and now - worker.progress > _START_SECONDS:
                self._bury(worker)

    def _bury(self, worker: Worker, hung: bool = False) -> None:
        """Remove a process that died, or hangs; its images are tried elsewhere."""
        self._running.remove(worker)
        self._selector.unregister(worker.connection)
        code = stop_worker(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise MlimagesError(
                    "decoder process", f"cannot be started (exit code {code})", "see above for why"
                )
        hung |= code == -signal.SIGXCPU
        for number, batch in enumerate(worker.batches):
            for job in batch:
                begun = number == 0  # of later batches it had not begun any
                if begun and job.failures:
                    reason = Reason.DECODER_TIMED_OUT if hung else Reason.DECODER_FAILED
                    job.future.set_result(Verified(reason=reason))
                else:
                    job.failures += begun
                    self._alone.append(job)

    def _patience(self) -> float | None:
        """Seconds until a process may have to be killed."""
        ends = [worker.progress + self._seconds + 0.1 for worker in self._running if worker.batches]
        ends += [w.progress + _START_SECONDS for w in self._running if not w.ready]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _start(self) -> None:
        worker = start_worker(self._function, self._options)
        self._running.append(worker)
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)


def _drain(connection: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        connection.recv(1 << 10)
