"""Feature files: contents, order, formats, and broken photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tagging.fakes import BLUE, GREEN, RED, colour_model, paint

from mlimages.cli import run
from mlimages.errors import InputError, StorageError
from mlimages.models.interface import ModelCategory
from mlimages.tagging.features import extract, write_features

MODEL = colour_model([ModelCategory("n02121620", "cat")])


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    colours = [RED, GREEN, BLUE, RED, BLUE]
    made = [paint(tmp_path / "in" / f"{i}.png", colour) for i, colour in enumerate(colours)]
    (tmp_path / "in" / "2b.jpg").write_text("text")
    return [*made[:3], tmp_path / "in" / "2b.jpg", *made[3:]]


def expected(colour: tuple[int, int, int]) -> np.ndarray:
    return (np.array(colour, np.float32) - 127.5) / 127.5


def test_rows_follow_the_photos_and_skip_the_broken(photos: list[Path]) -> None:
    paths, features, rejects = extract(MODEL, photos, batch_size=2)
    assert paths == [*photos[:3], *photos[4:]]
    assert features.dtype == np.float32
    want = [expected(colour) for colour in (RED, GREEN, BLUE, RED, BLUE)]
    np.testing.assert_allclose(features, want, rtol=1e-5)
    assert [(r.path, r.reason) for r in rejects] == [(photos[3], "not an image")]


def test_no_photos_give_an_empty_matrix() -> None:
    assert extract(MODEL, []).features.shape == (0, 3)


def test_parquet_and_npz_hold_the_same(photos: list[Path], tmp_path: Path) -> None:
    report = write_features(MODEL, photos, tmp_path / "new" / "f.parquet", batch_size=2)
    assert (report.photos, report.dimension, len(report.rejects)) == (5, 3, 1)
    table = pq.read_table(report.output)
    assert table.schema.field("feature").type == pa.list_(pa.float32(), 3)
    assert table.schema.metadata[b"model"] == b"colours"
    write_features(MODEL, photos, tmp_path / "f.npz", batch_size=3)
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["path"].tolist() == table["path"].to_pylist()
        np.testing.assert_array_equal(arrays["feature"], np.array(table["feature"].to_pylist()))


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_nothing_is_left_behind_when_no_photo_can_be_read(suffix: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("text")
    output = tmp_path / f"f{suffix}"
    output.write_text("old")
    with pytest.raises(InputError, match="not an image"):
        write_features(MODEL, [broken], output)
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.jpg", output.name]


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_failure_midway_leaves_the_old_file(
    suffix: str, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / f"f{suffix}"
    output.write_text("old")
    calls = []

    def fail(_self: object, images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return images.mean(dim=(2, 3))

    monkeypatch.setattr(type(MODEL.module), "features", fail)
    with pytest.raises(KeyboardInterrupt):
        write_features(MODEL, photos, output, batch_size=2)
    assert output.read_text() == "old"
    assert not list(tmp_path.glob("*.partial"))


def test_an_unknown_format_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.parquet"):
        write_features(MODEL, [tmp_path / "gone.jpg"], tmp_path / "f.parquett")


def test_an_output_below_a_file_is_one_clear_error(photos: list[Path]) -> None:
    with pytest.raises(StorageError):
        write_features(MODEL, photos, photos[0] / "f.npz")


def test_the_command_reads_the_released_list_of_photos(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    # The released list names data/images/..., relative to the folder that holds data/.
    (tmp_path / "data").symlink_to(shared_data / "tencent")
    listed = str(shared_data / "tencent" / "im_list_for_classification.txt")
    output = tmp_path / "features.parquet"
    model = "untrained:efficientnet-lite0"
    arguments = ["features", model, "--list", listed, "--root", str(tmp_path)]
    assert run([*arguments, "--out", str(output), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["photos"], report["dimension"], report["rejects"]) == (4, 1280, [])
    names = [Path(path).name for path in pq.read_table(output)["path"].to_pylist()]
    assert names == ["im_0.jpg", "im_1.jpg", "im_2.jpg", "im_3.jpg"]


def test_the_command_wants_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["features", "efficientnet-lite0", "--out", str(tmp_path / "f.npz")]) == 2
    assert "no photos given" in capsys.readouterr().err
