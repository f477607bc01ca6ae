from __future__ import annotations

import pickle

import pytest

from mlimages.images.decoding import BadImageError
from mlimages.images.rejection import ACTIONS, Reason


def test_errors_carry_their_reason_across_processes() -> None:
    error = pickle.loads(pickle.dumps(BadImageError("too many pixels", "a.jpg")))
    assert error.reason is Reason.TOO_MANY_PIXELS
    assert str(error) == "a.jpg: too many pixels; " + ACTIONS[Reason.TOO_MANY_PIXELS]


def test_a_reason_outside_the_list_is_refused() -> None:
    with pytest.raises(ValueError, match="no idea"):
        BadImageError("no idea")
