"""Signals while training: the first is a wish, the second an order."""

from __future__ import annotations

import signal
import threading

import pytest

from mlimages.training.interruption import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_leaves_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.signal_name is None
        signal.raise_signal(number)
        assert stop.signal_name == number.name
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_outside_the_main_thread_it_does_nothing() -> None:
    failures = []

    def enter() -> None:
        try:
            with StopRequest() as stop:
                assert stop.signal_name is None
        except Exception as error:  # noqa: BLE001 - handed to the main thread
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not failures
