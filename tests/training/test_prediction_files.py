"""Predictions made on several workers, or part by part, are those made at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import REPOSITORY
from tests.tiny import make_tiny_data

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import InputError
from mlimages.execution.parts import Part
from mlimages.labels.derivation.predictions import Predictions
from mlimages.labels.predicted_rows import ROWS_KEY
from mlimages.labels.prediction_files import PredictionFiles, merge_parts
from mlimages.training import prediction_files
from mlimages.training.prediction_files import PredictionSettings, write_predictions

MODEL = "untrained:efficientnet-lite0"
OPTIONS = ["--minimum-probability", "0.0005", "--device", "cpu"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packed database `DB` of 32 images, of which row 5 is not packed."""
    folder = tmp_path_factory.mktemp("predictions")
    data = make_tiny_data(folder / "tiny", images_a_class=8)
    (data.photos / "n02084071-5.jpg").write_bytes(b"")
    for command in ("import table {} {}", "complete {1}", "pack {1}"):
        assert run(command.format(data.table, folder / "DB").split()) == 0
    return folder


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_files, "BLOCK_ROWS", 6)


@pytest.fixture
def predicted(root: Path, tmp_path: Path, small_blocks: None) -> Callable[..., Path]:
    """Predicts, in this process, and gives the path of the table named."""
    db = Database.open(root / "DB")

    def make(name: str = "p.parquet", part: Part | None = None, minimum: float = 0.0005) -> Path:
        settings = PredictionSettings(MODEL, "cpu", minimum)
        write_predictions(db, db.select(), settings, tmp_path / name, part=part)
        return tmp_path / name

    return make


def test_the_table_lists_the_images_and_is_in_their_order(predicted: Callable[..., Path]) -> None:
    table = pq.read_table(predicted())
    assert table.schema.metadata[ROWS_KEY] == b"0-4 6-31"
    keys = table["row"].to_numpy().astype(np.int64) << 32 | table["category"].to_numpy()
    assert len(keys) > 1000
    assert np.all(np.diff(keys) > 0)


def test_merged_parts_equal_the_single_run(predicted: Callable[..., Path]) -> None:
    whole = pq.read_table(predicted())
    for index in (3, 1, 2):
        parts = predicted("q.parquet", Part(index, 3))
    merge_parts(parts)
    assert pq.read_table(parts).equals(whole, check_metadata=True)
    assert [path.name for path in sorted(parts.parent.iterdir())] == ["p.parquet", "q.parquet"]


def test_parts_are_read_as_one_by_folder_or_pattern(predicted: Callable[..., Path]) -> None:
    whole = Predictions(predicted(), 32, 11166)
    for index in (1, 2):
        part = predicted("parts/p.parquet", Part(index, 2))
    for place in (part.parent, part.parent / "p.*-of-2.parquet"):
        joined = Predictions(place, 32, 11166)
        assert np.array_equal(joined.seen, whole.seen)
        ours, theirs = (
            np.concatenate([np.stack([b["row"], b["category"]]) for b in found.batches()], axis=1)
            for found in (joined, whole)
        )
        assert np.array_equal(ours, theirs)
        files = PredictionFiles(place)
        assert files.dataset().schema.metadata == files.schema.metadata
        assert files.dataset().count_rows() == ours.shape[1]


def test_the_readers_take_a_folder(predicted: Callable[..., Path], root: Path) -> None:
    for index in (1, 2):
        part = predicted("parts/p.parquet", Part(index, 2))
    shutil.copytree(root / "DB", part.parent.parent / "copy")
    copy = str(part.parent.parent / "copy")
    assert run(["complete", copy, "--predictions", str(part.parent)]) == 0
    assert run(["quality", copy, "--predictions", str(part.parent)]) == 0


def test_a_missing_part_is_named(
    predicted: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for index in (1, 4):
        out = predicted(part=Part(index, 4))
    message = r"parts 2/4, 3/4 of the predictions missing; run: mlimages predict ... --part 2/4"
    with pytest.raises(InputError, match=message):
        merge_parts(out)
    with pytest.raises(InputError, match=message):
        PredictionFiles(out.parent)
    with pytest.raises(InputError, match="still in parts"):
        PredictionFiles(out)
    assert not out.exists()


def test_parts_of_different_options_are_not_joined(predicted: Callable[..., Path]) -> None:
    predicted(part=Part(1, 2))
    out = predicted(part=Part(2, 2), minimum=0.0007)
    with pytest.raises(InputError, match="different models or options"):
        merge_parts(out)


def test_a_part_beside_a_whole_table_is_refused(predicted: Callable[..., Path]) -> None:
    out = predicted(part=Part(1, 1))
    shutil.copy(out.with_name("p.1-of-1.parquet"), out.with_name("p.1-of-2.parquet"))
    predicted()
    with pytest.raises(InputError, match="more than one set"):
        PredictionFiles(out.parent)


def test_nothing_to_merge_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no parts"):
        merge_parts(tmp_path / "p.parquet")
    with pytest.raises(InputError, match="holds no Parquet file"):
        PredictionFiles(tmp_path)


def test_parts_and_workers_in_processes_of_their_own_equal_the_single_run(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", MODEL, str(root / "DB"), *OPTIONS, "--out"]
    assert run([*command, str(tmp_path / "p.parquet")]) == 0
    capsys.readouterr()
    for options in (["--part", "1/2"], ["--part", "2/2", "--workers", "2"], ["--merge", "--json"]):
        line = [sys.executable, "-m", "mlimages", *command, str(tmp_path / "q.parquet"), *options]
        done = subprocess.run(line, check=True, cwd=REPOSITORY, capture_output=True, text=True)
    whole, merged = (pq.read_table(tmp_path / name) for name in ("p.parquet", "q.parquet"))
    assert json.loads(done.stdout)["predictions"] == whole.num_rows
    assert merged.select(["row", "category"]).equals(whole.select(["row", "category"]))
    assert np.allclose(merged["probability"], whole["probability"], rtol=0, atol=1e-6)
