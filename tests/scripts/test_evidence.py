"""The evidence: its databases, its tables, and rows that are done once, whatever stops them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scripts.evidence import __main__ as evidence
from scripts.evidence.arms import ARMS, row_name
from scripts.evidence.databases import UNUSED, flat, long_tailed, with_tags_removed
from scripts.evidence.tables import BEGIN, END, render, write_into
from tests.conftest import REPOSITORY
from tests.tiny import BACKGROUNDS, OBJECTS, paint

from mlimages.errors import InputError
from mlimages.labels.reading import Reading
from mlimages.quickstart.stages import STATE
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy
from mlimages.training.recipe import Recipe, find_recipe_of

KEYS = ("n00001740", "n00001930", "n02084071", "n02121620")
TINY = (
    *("schedule.epochs=1", "schedule.warmup_epochs=0", "model.width=0.0625", "data.image_size=16"),
    *("data.batch_size=4", "data.batch_norm_group=4", "data.workers=1"),
    *("evaluation.minimum_positives=1", "checkpoint.every_steps=1"),
)


def reading_of(classes: list[int], train: int, validation: int) -> Reading:
    """Photos of some classes, one tag each."""
    splits = (["train"] * train + ["validation"] * validation) * len(classes)
    ids = [f"photo-{number}" for number in range(len(splits))]
    empty = {
        name: pa.nulls(len(ids), kind)
        for name, kind in (
            *((name, pa.string()) for name in ("licence", "author", "landing_url", "title", "md5")),
            *((name, pa.int32()) for name in ("width", "height")),
            *(("bytes", pa.int64()), ("rotation", pa.float32())),
            ("more_uris", pa.list_(pa.string())),
        )
    }
    images = {"id": ids, "uri": ids, "split": splits} | empty
    order = ("id", "uri", "split", "licence", "author", "width", "height", "landing_url")
    order += ("title", "bytes", "md5", "rotation", "more_uris")
    facts = {
        "image": np.arange(len(ids)),
        "category": np.repeat(classes, train + validation),
        "present": np.ones(len(ids), bool),
        "confidence": np.ones(len(ids)),
        "kind": ["asserted"] * len(ids),
    }
    images_table = pa.table({name: images[name] for name in order})
    return Reading("tiny", images_table, pa.table(facts), single_label=True)


def splits_of(reading: Reading) -> np.ndarray:
    return np.array(reading.images["split"].to_pylist())


def test_the_long_tail_goes_down_to_a_twentieth_and_leaves_validation_alone() -> None:
    tailed = long_tailed(reading_of([5, 6, 7], train=40, validation=3))
    category = tailed.facts["category"].to_numpy()
    kept = np.bincount(category[splits_of(tailed) == "train"])[5:]
    assert sorted(kept.tolist()) == [2, round(40 * 20**-0.5), 40]
    assert (splits_of(tailed) == "validation").sum() == 9
    assert (splits_of(tailed) == UNUSED).sum() == 120 - kept.sum()


def test_tags_are_removed_of_training_photos_only_and_absences_are_true() -> None:
    # entity above everything; two animals below.
    taxonomy = Taxonomy(released_taxonomy().categories[:4], [-1, 0, 1, 1])
    removed = with_tags_removed(reading_of([2, 3], train=2000, validation=5), taxonomy)
    facts, splits = removed.facts, splits_of(removed)
    image, category, present = (
        facts[name].to_numpy(zero_copy_only=False) for name in ("image", "category", "present")
    )
    train = splits[image] == "train"
    assert present[~train].all()
    assert np.bincount(category[~train]).tolist() == [10, 10, 5, 5]  # complete
    share = np.bincount(category[train & present]) / [4000, 4000, 2000, 2000]
    assert share == pytest.approx([0.5] * 4, abs=0.05)
    assert set(category[~present]) == {2, 3}  # nothing lacks what is above all
    truth = reading_of([2, 3], train=2000, validation=5).facts["category"].to_numpy()
    assert (category[~present] != truth[image[~present]]).all()
    assert (~present).sum() / 4000 == pytest.approx(0.1, abs=0.03)


def test_a_flat_vocabulary_has_no_ancestors() -> None:
    full = released_taxonomy()
    assert len(flat(full).hierarchy("tencent").edges()[0]) == 0
    assert flat(full).keys == full.keys


def test_every_trained_arm_has_a_recipe_of_its_own() -> None:
    files = {path.stem for path in (REPOSITORY / "recipes" / "evidence").glob("*.toml")}
    assert files == {arm.name for arm in ARMS if arm.database}
    for name in files:
        assert find_recipe_of(Recipe, name, below="evidence").name == name


def test_tables_have_means_and_deviations_and_mark_what_was_not_run(tmp_path: Path) -> None:
    arm = next(arm for arm in ARMS if arm.name == "single")
    stages = {
        row_name(arm, seed): {"seconds": 60, "found": {"accuracy": value}}
        for seed, value in enumerate((0.2, 0.3))
    }
    stages |= {
        f"rate single {rate}": {"seconds": 1, "found": {"map_macro": value}}
        for rate, value in (("0.1", 0.25), ("0.3", 0.5))
    }
    (tmp_path / STATE).write_text(json.dumps({"stages": stages}))
    text = render(tmp_path)
    assert "| single labels | 25.0 ± 7.1 | 2 |" in text  # sample deviation of 20 and 30
    assert "| no pretraining | - | not run yet |" in text
    assert "| single | 0.1: 25.0, **0.3**: 50.0 |" in text
    assert f"2 of {3 * len(ARMS)} rows" in text

    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(page, text)
    assert page.read_text() == f"before\n{BEGIN}\n{text}{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(InputError, match=r"page.md: has no <!-- results -->"):
        write_into(page, text)


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny-imagenet").mkdir()
    assert evidence.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "coco128: no such folder; DATA needs: tiny-imagenet, coco128, voc2012" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few painted photos in the real layout; nothing of the multi-label part."""
    root = tmp_path / "data"
    for name in ("coco128", "voc2012"):
        (root / name).mkdir(parents=True)
    for number, (wnid, (color, background)) in enumerate(OBJECTS.items()):
        for place, count in (
            (f"tiny-imagenet/train/{wnid}", 8),
            (f"tiny-imagenet/val/{wnid}", 2),
            (f"caltech101/101_ObjectCategories/{wnid}", 3),
        ):
            (root / place).mkdir(parents=True)
            for i in range(count):
                photo = paint(1000 * number + i, BACKGROUNDS[background], color)
                photo.save(root / place / f"{wnid}_{place[5]}{i}.JPEG")
    return root


def test_a_killed_row_goes_on_and_what_is_done_is_not_done_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(data), "--out", str(out), "--only", "d", "--arms", "closed-world"]
    arguments += ["--seeds", "1", "--set", *TINY]
    paths = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.evidence", *arguments],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("sweep closed-world 0.05"):
            process.kill()
            break
    process.communicate()
    stages = json.loads((out / STATE).read_text())["stages"]
    assert "rate closed-world 0.05" in stages

    assert evidence.main(arguments) == 0
    said = capsys.readouterr().out
    assert "(done before)" in said
    assert "| closed-world: unknown is absent |" in said
    finished = json.loads((out / STATE).read_text())["stages"]
    assert {name: finished[name] for name in stages} == stages
    assert 0 < finished["row d closed-world 0"]["found"]["map_macro"] <= 1
