"""The evidence of transfer: runs that are done once, whatever stops them, and their table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import REPOSITORY
from tests.transfer import worlds

from mlimages.quickstart.stages import STATE
from scripts import transfer_evidence as evidence

NETWORK = "efficientnet-lite0"
TINY = (
    *("schedule.epochs=1", "schedule.warmup_epochs=0", "data.size=64", "data.long_side=96"),
    *("data.batch_size=4", "data.batch_norm_group=2", "evaluation.pictures=1"),
    "evaluation.short_side=64",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Painted photos laid out as the real ones."""
    root = tmp_path_factory.mktemp("photos")
    base = worlds.write_voc(root / "voc2012", 8, "VOC2012") / "VOCdevkit" / "VOC2012"
    for kind in ("Main", "Segmentation"):
        for part, numbers in (("train", range(5)), ("val", range(5, 8))):
            names = "".join(f"{number:06d}\n" for number in numbers)
            (base / "ImageSets" / kind / f"{part}.txt").write_text(names)
    coco = root / "coco128"
    for folder in ("images", "yolo_labels", "semantic_masks"):
        (coco / folder).mkdir(parents=True)
    for kind in ("yolo", "semantic"):
        (coco / f"{kind}_classes.yaml").write_text("names:\n  1: cat\n")
    pixels, mask, _, _ = worlds.scene(1)  # a cat
    Image.fromarray(pixels).save(coco / "images" / "1.jpg")
    Image.fromarray((mask > 0).astype(np.uint8)).save(coco / "semantic_masks" / "1.png")
    (coco / "yolo_labels" / "1.txt").write_text("1 0.5 0.5 0.4 0.4\n")
    worlds.write_folders(root / "caltech101" / "101_ObjectCategories", 3)
    return root


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    """For a look at a tiny size."""
    few = ("--probe-images", "2", "--draws", "20", "--backbones", NETWORK)
    return [str(data), "--out", str(out), *few, *more, "--set", *TINY]


def test_a_killed_run_goes_on_and_the_table_compares_with_random_weights(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "out", tmp_path / "page.md"
    state = out / "segmentation" / STATE
    paths = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.transfer_evidence", *arguments(data, out)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("segmentation 0"):
            process.kill()
            break
    process.communicate()
    before = json.loads(state.read_text())["stages"]
    assert before

    assert evidence.main(arguments(data, out, "--tasks", "probe", "segmentation")) == 0
    said = capsys.readouterr().out
    assert "(done before)" in said
    assert said.splitlines()[-2].endswith("| - |")  # nothing was detected yet
    after = json.loads(state.read_text())["stages"]
    assert {name: after[name] for name in before} == before
    assert len(after) == 2 * evidence.FOLDS

    page.write_text("<!-- results -->\nold\n<!-- end of results -->\n")
    quick = arguments(data, out, "--minutes", "0", "--write", str(page))
    assert evidence.main(quick) == 0
    ours, random = page.read_text().splitlines()[3:5]
    assert ours.startswith(f"| `{NETWORK}` | **")
    assert "of 5 splits above)" in ours
    assert random.startswith(f"| `untrained:{NETWORK}` |")


@pytest.mark.slow
def test_detection_is_compared_too(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evidence.main(arguments(data, tmp_path / "out", "--tasks", "detection")) == 0
    ours = capsys.readouterr().out.splitlines()[-3]
    assert ours.split("|")[-2].count("to") == 1


def test_a_folder_of_another_size_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "probe").mkdir(parents=True)
    (out / "probe" / "something").touch()
    assert evidence.main(arguments(data, out)) == 1
    assert capsys.readouterr().err.count("\n") == 1
