"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Where everybody waits for one answer, the same examples are tried each time; at home others are.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


def find_shared_data() -> Path | None:
    """The folder of real photos and labels: `MLIMAGES_DATA`, or `../shared/data`."""
    named = os.environ.get("MLIMAGES_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if (folder / "tencent").is_dir() else None


def missing(what: str) -> None:
    """Skip the test, or fail it where `MLIMAGES_REQUIRE_ALL=1` says that nothing may be missing."""
    if os.environ.get("MLIMAGES_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}, and MLIMAGES_REQUIRE_ALL=1")
    pytest.skip(what)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos, tags and label spaces; the test skips, saying so, where there are none."""
    folder = find_shared_data()
    if folder is None:
        missing("no real data: set MLIMAGES_DATA to its folder")
    assert folder is not None
    return folder
