"""Stages are done once, and a run that was cut short continues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlimages.errors import InputError
from mlimages.quickstart.stages import STATE, Outcome, StageLog

OPTIONS = {"photos": "none", "seed": 0}


def open_log(folder: Path, lines: list[str] | None = None, **changes: object) -> StageLog:
    fresh = bool(changes.pop("fresh", False))
    say = (lines if lines is not None else []).append
    return StageLog(folder, OPTIONS | changes, fresh, say)


def work(value: int) -> Outcome:
    return Outcome(f"found {value}", {"value": value})


def never() -> Outcome:
    raise AssertionError("this stage was done before")


def test_a_stage_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    assert open_log(tmp_path / "run").run("one", "first", lambda: work(1)) == {"value": 1}
    lines: list[str] = []
    log = open_log(tmp_path / "run", lines)
    assert log.run("one", "first", never) == {"value": 1}
    assert log.run("two", "second", lambda: work(2)) == {"value": 2}
    assert [stage.name for stage in log.stages] == ["one", "two"]
    assert "found 1 (done before)" in lines[0]
    assert "found 2" in lines[1]
    assert "done before" not in lines[1]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, InputError("x", "y", "z")])
def test_an_interrupted_stage_is_done_again_and_its_time_adds_up(
    tmp_path: Path, stop: BaseException | type[BaseException]
) -> None:
    def interrupted() -> Outcome:
        raise stop

    log = open_log(tmp_path / "run")
    log.run("one", "first", lambda: work(1))
    with pytest.raises(stop if isinstance(stop, type) else type(stop)):
        log.run("two", "second", interrupted)
    state = json.loads((tmp_path / "run" / STATE).read_text(encoding="utf-8"))
    state["spent"]["two"] = 100.0
    (tmp_path / "run" / STATE).write_text(json.dumps(state), encoding="utf-8")
    again = open_log(tmp_path / "run")
    assert again.run("two", "second", lambda: work(2)) == {"value": 2}
    assert again.stages[1].seconds >= 100


def test_another_run_in_the_folder_is_refused_unless_it_shall_go(tmp_path: Path) -> None:
    open_log(tmp_path / "run").run("one", "first", lambda: work(1))
    with pytest.raises(InputError, match=r"holds a run with seed 0, not 1; use --fresh"):
        open_log(tmp_path / "run", seed=1)
    log = open_log(tmp_path / "run", seed=1, fresh=True)
    assert log.run("one", "first", lambda: work(7)) == {"value": 7}


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    for fresh in (False, True):
        with pytest.raises(InputError, match="holds something else"):
            open_log(tmp_path, fresh=fresh)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    with pytest.raises(InputError, match="holds something else"):
        open_log(tmp_path / "thesis.txt")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"options": {}}', '{"options": 1, "stages": 2}'])
def test_a_damaged_state_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"state\.json: damaged"):
        open_log(tmp_path)


def test_numbers_that_json_lacks_are_kept_as_none(tmp_path: Path) -> None:
    log = open_log(tmp_path / "run")
    outcome = Outcome("found", {"deviation": float("nan"), "pair": (1, 2)})
    assert log.run("one", "first", lambda: outcome) == {"deviation": None, "pair": [1, 2]}
