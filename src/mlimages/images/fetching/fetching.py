"""Fetching images: each address in turn, each answer checked, each good image on the shelf.

Threads share the work. This one decides; that of `Downloads` runs the network; the verifier's
speaks to the processes that hash and decode; those of the shard write and sync it. What is in
flight is bounded: images by a window, bytes by what `Downloads` may hold.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from mlimages.images.fetching.candidates import Wanted, is_web
from mlimages.images.fetching.client import Answer
from mlimages.images.fetching.downloads import Downloads, Getter, Request
from mlimages.images.fetching.placeholders import Placeholders, host_of, is_placeholder_address
from mlimages.images.fetching.states import UrlState, state_of_reason
from mlimages.images.preparation import Verified
from mlimages.images.reading import open_uri
from mlimages.images.rejection import UnreadableError
from mlimages.images.settings import ImageSettings
from mlimages.images.verification import Verifier

WINDOW = 4096
"""Images in play: enough that their hosts differ, few enough that they are small."""
_READERS = 4
_EVENTS_A_TURN = 256
_TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """One address of an image, under way."""

    image: Wanted
    place: int  # among the image's addresses
    address: str


class Shelf(Protocol):
    """Where results go; used by one thread."""

    def fail(self, trial: Trial, state: UrlState, answer: Answer) -> None:
        """Note why an address gave no image."""

    def take(self, trial: Trial, answer: Answer, verified: Verified) -> None:
        """Keep an image."""

    def distrust(self, host: str, md5: str) -> None:
        """Take back what was kept of a placeholder before it was known to be one."""

    def tick(self) -> None:
        """Do what is due; called every now and then."""


class Fetching:
    """A context manager that fetches images with a client and a verifier of its own.

    Attributes:
        put_off: images that were not tried to the end, since a host asked to be left alone; they
            are still pending.
        resume_at: when the first of those hosts may be asked again, by `time.monotonic`.
    """

    def __init__(
        self,
        client: Callable[[], AbstractAsyncContextManager[Getter]],
        images: ImageSettings,
        shelf: Shelf,
        placeholders: Placeholders,
        *,
        workers: int | None = None,
        seconds: float = 30.0,
        window: int = WINDOW,
        **limits: int,
    ) -> None:
        """Start nothing yet.

        Args:
            client: makes the client, within its event loop.
            images: how images are checked and kept.
            shelf: where results go.
            placeholders: what is known of them.
            workers: processes that decode; one a core by default.
            seconds: that a single image may take to be decoded.
            window: images in play.
            limits: of `Downloads`.
        """
        self._shelf, self._placeholders = shelf, placeholders
        self._window = window
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._downloads = Downloads(client, self._answered, **limits)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._verifier = Verifier(images, workers=workers, seconds=seconds)
        self._requests: list[Request] = []
        self._in_play = 0
        self.put_off = 0
        self.resume_at = float("inf")

    def __enter__(self) -> Fetching:
        with ExitStack() as stack:
            stack.enter_context(_rare_collections())
            stack.callback(self._verifier.close)
            stack.callback(self._readers.shutdown, cancel_futures=True)
            stack.enter_context(self._downloads)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, images: Iterator[Wanted], done: Callable[[], object] = lambda: None) -> None:
        """Fetch images until all are kept or have no address left.

        Args:
            images: what to fetch, in the order in which hosts are to be asked.
            done: called after each image, whatever became of it.

        Raises:
            StorageError: the disk is full or not writable.
        """
        self._done, self.put_off, self.resume_at = done, 0, float("inf")
        more = True
        while more or self._in_play:
            while more and self._in_play < self._window:
                image = next(images, None)
                if image is None:
                    more = False
                else:
                    self._in_play += 1
                    self._try_next(image)
            if self._requests:
                self._downloads.give(self._requests)
                self._requests = []
            if self._in_play:
                self._attend()
            self._shelf.tick()

    def _attend(self) -> None:
        """Handle what has happened; wait a moment when nothing has."""
        try:
            self._events.get(timeout=_TICK_SECONDS)()
            for _ in range(_EVENTS_A_TURN):
                self._events.get_nowait()()
        except Empty:
            self._downloads.check()

    def _try_next(self, image: Wanted) -> None:
        if not image.candidates:
            self._finish()
            return
        trial = Trial(image, *image.candidates.popleft())
        if is_web(trial.address):
            self._requests.append(Request(trial.address, trial))
        else:
            read = self._readers.submit(open_uri, trial.address)
            read.add_done_callback(partial(self._read, trial))

    def _answered(self, request: Request, answer: Answer) -> None:
        """Called in the thread of the network."""
        self._events.put(partial(self._handle, request.tag, answer))  # type: ignore[arg-type]

    def _read(self, trial: Trial, read: Future[bytes]) -> None:
        """Called in the thread that read a file."""
        if read.cancelled():
            return
        try:
            answer = local_answer(trial.address, read.result())
        except UnreadableError as error:
            answer = local_answer(trial.address, b"", UrlState.GONE, str(error.reason))
        self._events.put(partial(self._handle, trial, answer))

    def _handle(self, trial: Trial, answer: Answer) -> None:
        if answer.state is UrlState.PENDING:  # the host rests, and was not asked
            self.put_off += 1
            self.resume_at = min(self.resume_at, time.monotonic() + (answer.retry_after or 0.0))
            self._finish()
        elif answer.state is not UrlState.OK:
            self._give_up(trial, answer.state, answer)
        elif answer.final_url != trial.address and is_placeholder_address(answer.final_url):
            self._give_up(trial, UrlState.PLACEHOLDER, answer)
        else:
            check = self._verifier.submit(answer.data)
            check.add_done_callback(partial(self._checked, trial, answer))

    def _checked(self, trial: Trial, answer: Answer, check: Future[Verified]) -> None:
        """Called in the verifier's thread."""
        if not check.cancelled():
            self._events.put(lambda: self._judge(trial, answer, check.result()))

    def _judge(self, trial: Trial, answer: Answer, verified: Verified) -> None:
        image, host = trial.image, host_of(trial.address)
        if verified.reason is not None:
            self._give_up(trial, state_of_reason(verified.reason), answer)
        elif image.differs(trial.place, verified.md5, len(answer.data)):
            self._give_up(trial, UrlState.CHANGED, answer)
        elif host and self._is_placeholder(host, verified.md5):
            self._give_up(trial, UrlState.PLACEHOLDER, answer)
        else:
            self._shelf.take(trial, answer, verified)
            self._release(trial, answer)
            self._finish()

    def _is_placeholder(self, host: str, md5: str) -> bool:
        known = self._placeholders.is_known(host, md5)
        if self._placeholders.see(host, md5) and not known:
            self._shelf.distrust(host, md5)
            return True
        return known

    def _give_up(self, trial: Trial, state: UrlState, answer: Answer) -> None:
        self._shelf.fail(trial, state, answer)
        self._release(trial, answer)
        self._try_next(trial.image)

    def _finish(self) -> None:
        self._in_play -= 1
        self._done()

    def _release(self, trial: Trial, answer: Answer) -> None:
        if answer.data and is_web(trial.address):
            self._downloads.release(len(answer.data))


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage in circles less often, and not among what was there before.

    Thousands of requests under way are all alive: looking through them again and again takes a
    tenth of the time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def local_answer(
    address: str, data: bytes, state: UrlState = UrlState.OK, detail: str = ""
) -> Answer:
    """What reading a file of this machine came to, as if a host had answered."""
    return Answer(
        state=state,
        status=0,
        data=data,
        final_url=address,
        address="",
        detail=detail,
        retry_after=None,
        signals=(),
        redirects=(),
        seconds=0.0,
    )
