"""The list of states is closed, and its numbers are on disk."""

from __future__ import annotations

from mlimages.images.fetching.states import UrlState, state_of_reason
from mlimages.images.rejection import Reason


def test_the_numbers_never_change() -> None:
    # A ledger written today must mean the same forever: extend this list, never edit it.
    assert {state.name: int(state) for state in UrlState} == {
        "PENDING": 0,
        "OK": 1,
        "BAD_URL": 2,
        "BLOCKED_ADDRESS": 3,
        "ROBOTS": 4,
        "ROBOTS_UNAVAILABLE": 5,
        "HOST_DOWN": 6,
        "NO_SUCH_HOST": 10,
        "DNS": 11,
        "REFUSED": 12,
        "TLS": 13,
        "TIMEOUT": 14,
        "TOO_SLOW": 15,
        "CONNECTION_LOST": 16,
        "BAD_ANSWER": 17,
        "GONE": 20,
        "UNAUTHORISED": 21,
        "RATE_LIMITED": 22,
        "SERVER_ERROR": 23,
        "HTTP_STATUS": 24,
        "TOO_MANY_REDIRECTS": 25,
        "TOO_LARGE": 26,
        "CONTENT_ENCODING": 27,
        "EMPTY": 28,
        "NOT_AN_IMAGE": 40,
        "UNSUPPORTED_FORMAT": 41,
        "TOO_MANY_PIXELS": 42,
        "TOO_ELONGATED": 43,
        "TOO_MANY_FRAMES": 44,
        "TRUNCATED": 45,
        "DAMAGED": 46,
        "DECODER_TIMED_OUT": 47,
        "DECODER_FAILED": 48,
        "TOO_SMALL": 49,
        "PLACEHOLDER": 60,
        "CHANGED": 61,
        "OPTED_OUT": 80,
        "REMOVED": 81,
    }


def test_every_state_fits_a_byte_and_says_what_to_do() -> None:
    for state in UrlState:
        assert 0 <= state < 256
        assert isinstance(state.retryable, bool)
        assert state.advice
        assert state.label == state.label.lower()


def test_every_reason_of_bad_bytes_has_the_state_of_its_name() -> None:
    others = {
        Reason.TOO_MANY_BYTES: UrlState.TOO_LARGE,
    }
    not_of_bytes = {
        Reason.NOT_FETCHED,
        Reason.MISSING_FILE,
        Reason.MISSING_MEMBER,
        Reason.DAMAGED_ARCHIVE,
        Reason.UNREADABLE,
        Reason.UNKNOWN_ADDRESS,
    }
    for reason in set(Reason) - not_of_bytes:
        expected = others.get(reason) or UrlState[reason.value.upper().replace(" ", "_")]
        assert state_of_reason(reason) is expected
