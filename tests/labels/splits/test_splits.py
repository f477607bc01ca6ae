"""Stratified splits: every category gives its share, whatever order the images came in."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from tests.labels.reference import World
from tests.labels.sechidis import iterative_stratification
from tests.labels.stores import store_of

from mlimages.errors import InputError
from mlimages.labels.splits.splitting import hash_ids, split_images
from mlimages.labels.splits.stratification import measure_deviation
from mlimages.schemas import DUPLICATES
from mlimages.store import Store


def long_tail(images: int = 600, categories: int = 12, seed: int = 0) -> list[set[int]]:
    """Categories of each image: one to four, category k about 1 / (k + 1) as often as 0."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, categories + 1)
    weights /= weights.sum()
    return [
        set(rng.choice(categories, rng.integers(1, 5), replace=False, p=weights).tolist())
        for _ in range(images)
    ]


def stored(
    tags: list[set[int]],
    root: Path,
    categories: int,
    order: list[int] | None = None,
    splits: dict[int, str] | None = None,
    sources: list[set[str]] | None = None,
    partition_rows: int = 200,
) -> Store:
    """A flat database; image i of `tags` has the id `image-i`, in row order[i]'s place."""
    order = list(range(len(tags))) if order is None else order
    said_by = sources or [{"first"}] * len(tags)
    facts = [
        (row, category, "first", True, 1.0, "asserted")
        for row, image in enumerate(order)
        for category in sorted(tags[image])
    ]
    world = World(categories, set(), facts, [said_by[image] for image in order])
    ids = [f"image-{image}" for image in order]
    return store_of(world, root, splits=splits, ids=ids, partition_rows=partition_rows)


def validation_of(store: Store, table: pa.Table) -> set[str]:
    ids = store.table("images")["id"].to_pylist()
    return {ids[record["row"]] for record in table.to_pylist() if record["split"] == "validation"}


def matrix(tags: list[set[int]], categories: int) -> NDArray[np.bool_]:
    has = np.zeros((len(tags), categories), dtype=bool)
    for image, found in enumerate(tags):
        has[image, sorted(found)] = True
    return has


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_every_category_gives_its_share(tmp_path: Path, share: float) -> None:
    tags = long_tail()
    _, report = split_images(stored(tags, tmp_path / "DB", 12), 12, share)
    assert report.stratified.images < 1.5
    assert report.stratified.images < report.random.images / 2
    assert report.train + report.validation == report.images == 600
    assert report.validation == pytest.approx(share * 600, abs=12)


def test_categories_are_split_as_well_as_by_iterative_stratification(
    shared_data: Path, tmp_path: Path
) -> None:
    with open(shared_data / "voc2012" / "image_tags.csv", newline="") as file:
        named = [row["tags"].split() for row in csv.DictReader(file)]
    names = sorted({name for image in named for name in image})
    tags = [{names.index(name) for name in image} for image in named]
    has = matrix(tags, len(names))
    store = stored(tags, tmp_path / "DB", len(names), partition_rows=5000)
    for share in (0.05, 0.2):
        report = split_images(store, len(names), share)[1]
        chosen = iterative_stratification(has, share, seed=0)
        reference = measure_deviation(
            has.sum(axis=0), has[chosen].sum(axis=0), len(has), int(chosen.sum()), share
        )
        assert report.stratified.images <= reference.images + 0.2
        assert report.random.images > 5 * report.stratified.images


def test_the_split_follows_ids_and_not_rows_or_partitions(tmp_path: Path) -> None:
    tags = long_tail()
    order = np.random.default_rng(1).permutation(len(tags)).tolist()
    first = stored(tags, tmp_path / "first", 12)
    second = stored(tags, tmp_path / "second", 12, order=order, partition_rows=77)
    chosen = validation_of(first, split_images(first, 12, 0.1)[0])
    assert chosen == validation_of(second, split_images(second, 12, 0.1)[0])
    assert chosen != validation_of(first, split_images(first, 12, 0.1, seed=1)[0])


def test_each_category_has_the_minimum_where_its_share_is_half_of_it(tmp_path: Path) -> None:
    tags = [{0} for _ in range(400)] + [{1} for _ in range(60)] + [{2} for _ in range(10)]
    store = stored(tags, tmp_path / "DB", 3)
    has = matrix(tags, 3)
    for minimum, expected in ((0, [4, 1, 0]), (2, [4, 1, 0]), (1, [4, 1, 0])):
        table, _ = split_images(store, 3, 0.01, minimum=minimum)
        rows = [int(name.removeprefix("image-")) for name in validation_of(store, table)]
        assert has[rows].sum(axis=0).tolist() == expected
    table, _ = split_images(store, 3, 0.04, minimum=3)  # shares 16, 2.4, 0.4
    rows = [int(name.removeprefix("image-")) for name in validation_of(store, table)]
    assert has[rows].sum(axis=0).tolist() == [16, 3, 0]


def test_the_only_image_of_a_category_is_for_training(tmp_path: Path) -> None:
    tags = [{0} for _ in range(20)] + [{0, 1}]
    store = stored(tags, tmp_path / "DB", 2)
    for seed in range(5):
        chosen = validation_of(store, split_images(store, 2, 0.5, seed)[0])
        assert "image-20" not in chosen


def test_other_splits_and_kept_sources_stay_as_they_are(tmp_path: Path) -> None:
    tags = long_tail(300)
    splits = {row: ("test", "validation", "train")[row % 3] for row in range(270)}
    sources = [{"second"} if row % 2 else {"first"} for row in range(300)]
    store = stored(tags, tmp_path / "DB", 12, splits=splits, sources=sources)
    table, report = split_images(store, 12, 0.3, keep=["second"])
    after = dict(zip(table["row"].to_pylist(), table["split"].to_pylist(), strict=True))
    for row, name in splits.items():
        if name == "test" or row % 2:
            assert after[row] == name
    assert {after[row] for row in range(270, 300, 2)} <= {"train", "validation"}
    assert all(row not in after for row in range(271, 300, 2))  # kept without a split
    assert report.untouched == 90 + 15
    assert report.kept == 90
    assert report.images == report.train + report.validation + report.untouched
    # Kept ones count: the free images make up for their two thirds of validation images.
    assert report.stratified.images < report.random.images


def test_duplicates_are_in_the_split_of_the_image_that_stands_for_them(tmp_path: Path) -> None:
    tags = long_tail(200)
    store = stored(tags, tmp_path / "DB", 12)
    rows = list(range(100))
    with store.commit("test") as commit:
        merged = [{"row": row, "kept": row + 100, "evidence": "bytes"} for row in rows]
        commit.append("duplicates", pa.Table.from_pylist(merged, schema=DUPLICATES))
    table, report = split_images(store, 12, 0.3)
    after = dict(zip(table["row"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert all(after[row] == after[row + 100] for row in rows)
    assert report.duplicates == 100
    assert report.train + report.validation == 100


def test_images_without_tags_are_dealt_out_too(tmp_path: Path) -> None:
    store = stored([set() for _ in range(50)], tmp_path / "DB", 2)
    table, report = split_images(store, 2, 0.2)
    assert report.validation == 10
    assert table.num_rows == 50


def test_bad_values_are_refused(tmp_path: Path) -> None:
    store = stored([{0}], tmp_path / "DB", 1)
    for values in ({"validation": 0.0}, {"validation": 0.6}, {"validation": 0.1, "minimum": -1}):
        with pytest.raises(InputError):
            split_images(store, 1, **values)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nobody"):
        split_images(store, 1, 0.1, keep=["nobody"])


def test_hashes_of_ids_are_spread_evenly_and_depend_on_the_seed() -> None:
    ids = pa.chunked_array([[f"n02084071_{i}" for i in range(20_000)] + ["", "n02084071"]])
    hashes = hash_ids(ids, 0)
    assert len(np.unique(hashes)) == len(ids)
    counts = np.bincount((hashes >> np.uint64(60)).astype(int), minlength=16)
    assert np.all(np.abs(counts - len(ids) / 16) < 5 * np.sqrt(len(ids) / 16))
    assert np.count_nonzero(hashes == hash_ids(ids, 1)) == 1  # the empty text
    sliced = pa.chunked_array([ids.chunk(0).slice(5, 100)])
    np.testing.assert_array_equal(hash_ids(sliced, 0), hashes[5:105])
