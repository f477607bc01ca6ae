"""What the tests of transfer share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.transfer import worlds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small VOC and class folders, train and val."""
    root = tmp_path_factory.mktemp("data")
    worlds.write_voc(root)
    for part in ("train", "val"):
        worlds.write_folders(root / part, 2)
    return root
