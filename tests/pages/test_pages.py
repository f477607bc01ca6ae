"""Pages of statistics and quality: every category, escaped, linked, and nothing sensitive."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from tests.pages.example import HOSTILE, KEYS, SENSITIVE, make_database, make_predictions

from mlimages.cli import run
from mlimages.pages.categories import page_name


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def folder(database: Path) -> Path:
    out = database.parent / "statistics"
    assert run(["statistics", str(database), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def quality(database: Path) -> Path:
    table = make_predictions(database, database.parent / "predictions.parquet")
    out = database.parent / "quality"
    line = f"quality {database} --predictions {table} --out {out}"
    assert run(line.split()) == 0
    return out


def texts(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in [*folder.rglob("*.html"), *folder.rglob("*.json")]
    }


def test_every_category_that_may_be_shown_has_a_page(folder: Path) -> None:
    pages = {path.name for path in (folder / "categories").iterdir()}
    assert pages == {page_name(key) for key in KEYS if key != SENSITIVE}


def test_sensitive_categories_are_named_nowhere_unless_asked(
    folder: Path, quality: Path, database: Path
) -> None:
    for name, text in [*texts(folder).items(), *texts(quality).items()]:
        assert "dead person" not in text, name
        assert SENSITIVE not in text, name
    assert "1 sensitive one is not shown" in texts(folder)["categories/n00002684.html"]
    out = database.parent / "all"
    line = f"statistics {database} --out {out} --include-sensitive --examples 0"
    assert run(line.split()) == 0
    assert "dead person" in texts(out)[f"categories/{SENSITIVE}.html"]
    assert not (out / "photos").exists()


def test_names_are_escaped(folder: Path) -> None:
    shown = texts(folder)
    for name, text in shown.items():
        if name.endswith(".html"):
            assert "<script>alert" not in text, name
            assert len(re.findall(r"<script", text)) == (2 if name == "index.html" else 0)
    assert "&lt;script&gt;alert(1)" in shown[f"categories/{page_name(KEYS[10])}"]
    entries = re.search(r'id="entries">(.*?)</script>', shown["index.html"], re.DOTALL)
    assert entries is not None
    assert HOSTILE in [names for _, names, _, _ in json.loads(entries[1])]


def test_every_link_and_picture_is_a_file_of_the_folder(folder: Path, quality: Path) -> None:
    for root in (folder, quality):
        count = 0
        for name, text in texts(root).items():
            for target in re.findall(r'(?:href|src)="([^"#]*)"', text):
                if target != "data:,":
                    count += 1
                    assert (root / name).parent.joinpath(target).is_file(), (name, target)
                    assert "://" not in target
        assert count > 5


def test_a_page_shows_place_counts_partners_and_photos(folder: Path) -> None:
    dog = texts(folder)["categories/n02084071.html"]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", dog))
    assert "All categories object animal dog domestic dog" in text
    assert "24 images, 25.0 % of all" in text
    assert "a source says so 24 100.0 %" in text
    assert "Goes with category images with both PMI, bits tree 12 " in text
    assert dog.count("<img") == 4
    picture = re.search(r'src="\.\./(photos/\d+\.jpg)"', dog)
    assert picture is not None
    with Image.open(folder / picture[1]) as photo:
        assert max(photo.size) <= 288


def test_figures_are_json_and_png(folder: Path) -> None:
    counted = json.loads((folder / "statistics.json").read_text())
    assert counted["images"] == 96
    assert counted["published"]["images"] == 17_609_752
    for name in ("images_per_category.png", "tags_per_image.png"):
        with Image.open(folder / name) as plot:
            assert plot.size == (1080, 720)


def test_the_quality_page_names_what_the_network_doubts(quality: Path) -> None:
    report = json.loads((quality / "quality.json").read_text())
    doubtful = [(one["row"], one["category"]["name"]) for one in report["noise"]["doubtful"]]
    missing = [(one["row"], one["category"]["name"]) for one in report["noise"]["missing"]]
    assert doubtful == [(0, "dog, domestic dog")]
    assert sorted(missing) == [(0, "cat"), (20, "boat")]
    page = texts(quality)["index.html"]
    assert page.count("<img") >= 3


def test_a_folder_that_exists_is_refused_and_left_alone(
    folder: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    for line in (f"statistics {database} --out {folder}", f"quality {database} --out {folder}"):
        capsys.readouterr()
        assert run(line.split()) == 1
        assert "exists already" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_bad_predictions_are_one_line(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.parquet").write_text("nothing")
    for line, words in (
        (f"quality {database} --predictions {tmp_path}/none.parquet", "no such file"),
        (f"quality {database} --predictions {tmp_path}/no.parquet", "not a Parquet table"),
        (f"quality {database} --limit 0", "limit"),
    ):
        capsys.readouterr()
        assert run(line.split()) == 1
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_page_names_of_different_keys_differ_and_are_plain() -> None:
    keys = ["a:b", "a~3ab", "a/b", "a b", "ä", "../x"]
    names = [page_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9_~-]+\.html", name) for name in names)
