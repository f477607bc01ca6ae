"""Co-occurrence of categories against a count with dictionaries, and each of its filters."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.labels.reference import World, derive
from tests.labels.worlds import facts_table, hierarchy_of, images_table, sources_table, worlds

from mlimages.errors import InputError
from mlimages.labels import compiled
from mlimages.labels.absences import single_label_rows
from mlimages.labels.derivation import cooccurrence
from mlimages.labels.derivation import predictions as predictions_module
from mlimages.labels.derivation.cooccurrence import Labelled, PairSearch, find_pairs, tagged_pairs
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.predicted_rows import ROWS_KEY, record_rows, recorded_rows
from mlimages.schemas import PREDICTIONS

SINGLE = ("first",)


def predictions_table(rows: list[tuple[int, int, float]]) -> pa.Table:
    found = [dict(zip(PREDICTIONS.names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(found, schema=PREDICTIONS)


def search(world: World, rows: list[tuple[int, int, float]], rules: Rules) -> PairSearch:
    return search_table(world, predictions_table(rows), rules)


def search_table(world: World, predictions: pa.Table, rules: Rules) -> PairSearch:
    num_rows = len(world.image_sources)
    return find_pairs(predictions, parts_of(world), num_rows, hierarchy_of(world), rules)


def parts_of(world: World) -> list[Callable[[], Labelled]]:
    """The images of a world in parts of two rows."""
    facts, images = facts_table(world.facts), images_table(world)
    single = single_label_rows(images, sources_table(world, SINGLE))

    def load(first: int) -> Labelled:
        rows = facts["row"].to_numpy()
        mine = facts.filter(pa.array((rows >= first) & (rows < first + 2)))
        local = pa.array(mine["row"].to_numpy() - first, pa.int32())
        return Labelled(first, mine.set_column(0, "row", local), single[first : first + 2])

    return [partial(load, first) for first in range(0, len(single), 2)]


def slow_pairs(world: World, rows: list[tuple[int, int, float]], rules: Rules) -> dict:
    """(i, j) -> (images of i, images of i predicted to show j)."""
    world.pairs = set()
    up = {c: world.distances(c).keys() for c in range(world.num_categories)}
    counted = {}
    for row in range(len(world.image_sources)):
        tags = derive(world, row)
        everything = rules.cooccurrence_counts == "all"
        counted[row] = {c for c, tag in tags.items() if everything or tag[1] == "asserted"}
    single = {row for row, said_by in enumerate(world.image_sources) if said_by <= set(SINGLE)}
    effects = set().union(*(counted[row] for row in counted.keys() - single))
    images, predicted = Counter(), Counter()
    for row in single:
        images.update(counted[row])
        shown = {j for r, j, p in rows if r == row and p > rules.minimum_probability}
        predicted.update((i, j) for i in counted[row] for j in shown & effects)
    return {
        (i, j): (images[i], n)
        for (i, j), n in predicted.items()
        if n / images[i] > rules.minimum_ratio and i not in up[j] and j not in up[i]
    }


@settings(max_examples=100, deadline=None)
@given(worlds(most_rows=6), st.data(), st.sampled_from(["asserted", "all"]))
def test_pairs_equal_the_slow_count(world: World, data: st.DataObject, counts: str) -> None:
    row = st.integers(0, len(world.image_sources) - 1)
    category = st.integers(0, world.num_categories - 1)
    probability = st.sampled_from([0.5, 0.75, 1.0])
    rows = data.draw(st.lists(st.tuples(row, category, probability), max_size=12))
    ratio = data.draw(st.sampled_from([0.0, 0.3, 0.5, 0.9]))
    rules = Rules("tencent", 0.5, ratio, counts)  # type: ignore[arg-type]
    found = search(world, rows, rules).pairs.to_pylist()
    assert {(p["cause"], p["effect"]): (p["images"], p["predicted"]) for p in found} == slow_pairs(
        world, rows, rules
    )
    assert all(p["ratio"] == p["predicted"] / p["images"] for p in found)
    order = [(p["cause"], p["effect"]) for p in found]
    assert order == sorted(order)


@settings(max_examples=60, deadline=None)
@given(worlds(most_rows=6), st.data(), st.sampled_from(["asserted", "all"]))
def test_numpy_blocks_and_files_give_the_same_pairs(
    world: World, data: st.DataObject, counts: str
) -> None:
    row = st.integers(0, len(world.image_sources) - 1)
    category = st.integers(0, world.num_categories - 1)
    found = st.tuples(row, category, st.sampled_from([0.5, 1.0]))
    rows = data.draw(st.lists(found, max_size=12))
    rules = Rules("tencent", 0.5, 0.3, counts)  # type: ignore[arg-type]
    expected = search(world, rows, rules)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(compiled, "available", lambda: False)
        patch.setattr(cooccurrence, "MOST_CELLS", 2)
        patch.setattr(predictions_module, "BATCH_ROWS", 3)
        pq.write_table(predictions_table(rows), f"{folder}/p.parquet", row_group_size=2)
        again = search_table(world, Path(folder, "p.parquet"), rules)  # type: ignore[arg-type]
    assert again.pairs.equals(expected.pairs)
    assert again.filters == expected.filters


@settings(max_examples=80, deadline=None)
@given(worlds(most_rows=6), st.sampled_from(["asserted", "all"]), st.sampled_from([1, 2]))
def test_pairs_of_tags_equal_the_slow_count(world: World, counts: str, least: int) -> None:
    rules = Rules("tencent", 0.5, 0.3, counts, "tags", least)  # type: ignore[arg-type]
    found = tagged_pairs(parts_of(world), hierarchy_of(world), rules).pairs.to_pylist()
    world.pairs = set()
    up = {c: world.distances(c).keys() for c in range(world.num_categories)}
    images, both = Counter(), Counter()
    for row, said_by in enumerate(world.image_sources):
        if said_by <= set(SINGLE):
            continue
        tags = derive(world, row)
        carried = {c for c, tag in tags.items() if counts == "all" or tag[1] == "asserted"}
        images.update(carried)
        both.update((i, j) for i in carried for j in carried)
    assert {(p["cause"], p["effect"]): (p["images"], p["predicted"]) for p in found} == {
        (i, j): (images[i], n)
        for (i, j), n in both.items()
        if n / images[i] > 0.3 and images[i] >= least and i not in up[j] and j not in up[i]
    }


def test_on_few_images_tags_do_not_cooccur_by_default() -> None:
    facts = [(r, c, "second", True, 1.0, "verified") for r in range(99) for c in (SEA, LAND)]
    world = World(4, {(SEA_SNAKE, SNAKE)}, facts, [{"second"}] * 99)
    rules = Rules(cooccurrence_from="tags")
    assert tagged_pairs(parts_of(world), hierarchy_of(world), rules).pairs.num_rows == 0
    world.facts += [(99, c, "second", True, 1.0, "verified") for c in (SEA, LAND)]
    world.image_sources.append({"second"})
    found = tagged_pairs(parts_of(world), hierarchy_of(world), rules).pairs.to_pylist()
    assert [(p["cause"], p["effect"], p["images"]) for p in found] == [
        (SEA, LAND, 100),
        (LAND, SEA, 100),
    ]


# 0 snake <- 1 sea snake; 2 sea; 3 land. Rows 0-3 are single-label, 4 and 5 are not.
SNAKE, SEA_SNAKE, SEA, LAND = range(4)


def sea_snakes() -> World:
    facts = [(row, SEA_SNAKE, "first", True, 1.0, "asserted") for row in range(4)]
    facts += [(4, SEA, "second", True, 1.0, "verified"), (5, SNAKE, "second", True, 1.0, "machine")]
    return World(4, {(SEA_SNAKE, SNAKE)}, facts, [{"first"}] * 4 + [{"second"}] * 2)


def test_a_pair_needs_more_than_the_ratio_and_more_than_the_probability() -> None:
    two_of_four = [(0, SEA, 0.99), (1, SEA, 0.99), (2, SEA, 0.95), (3, SEA, 0.5)]
    assert search(sea_snakes(), two_of_four, Rules()).pairs.num_rows == 0
    found = search(sea_snakes(), [*two_of_four, (2, SEA, 0.96)], Rules()).pairs.to_pylist()
    assert found == [
        {"cause": SEA_SNAKE, "effect": SEA, "images": 4, "predicted": 3, "ratio": 0.75}
    ]


def test_relatives_and_categories_of_the_single_label_part_alone_are_no_effects() -> None:
    rows = [(row, category, 1.0) for row in range(4) for category in (SNAKE, LAND, SEA_SNAKE)]
    rows.append((4, SEA, 1.0))  # an image of the multi-label part
    found = search(sea_snakes(), rows, Rules())
    assert found.pairs.num_rows == 0
    assert found.filters == {
        "predictions": 13,
        "usable": 4,  # SNAKE on the single-label part
        "probable": 4,
        "observed": 1,
        "frequent": 1,
        "unrelated": 0,
    }


def test_a_prediction_given_twice_counts_once() -> None:
    rows = [(0, SEA, 1.0)] * 4
    assert search(sea_snakes(), rows, Rules(minimum_ratio=0.2)).pairs["predicted"][0].as_py() == 1


@pytest.mark.parametrize("row", [(6, SEA, 1.0), (-1, SEA, 1.0), (0, 4, 1.0)])
def test_predictions_of_another_database_are_refused(row: tuple) -> None:
    with pytest.raises(InputError, match="predict again"):
        search(sea_snakes(), [row], Rules())


def test_predictions_without_a_column_are_refused() -> None:
    with pytest.raises(InputError, match="probability"):
        search_table(sea_snakes(), predictions_table([]).drop_columns("probability"), Rules())


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("row", ["0"], "row is string"),
        ("row", [0.0], "row is double"),
        ("category", [None], "category is null"),
        ("category", pa.array([None], pa.int32()), "1 empty cells"),
        ("row", [1 << 40], "out of range"),
        ("probability", ["high"], "probability is string"),
        ("probability", [float("nan")], "outside 0..1"),
        ("probability", [1.5], "outside 0..1"),
    ],
)
def test_predictions_of_other_values_are_refused(name: str, values: list, words: str) -> None:
    columns = {"row": [0], "category": [SEA], "probability": [0.5], name: values}
    with pytest.raises(InputError, match=words):
        search_table(sea_snakes(), pa.table(columns), Rules())


def test_wider_numbers_are_taken_as_predictions() -> None:
    table = pa.table({"row": [0, 1, 2], "category": [SEA] * 3, "probability": [0.99] * 3})
    assert search_table(sea_snakes(), table, Rules()).pairs["predicted"].to_pylist() == [3]


def test_only_images_that_were_predicted_are_counted(tmp_path: Path) -> None:
    # Two of four images show the sea; but one of the others could not be read.
    table = predictions_table([(0, SEA, 0.99), (2, SEA, 0.99)])
    assert search_table(sea_snakes(), table, Rules()).pairs.num_rows == 0
    pq.write_table(record_rows(table, [0, 3, 2]), tmp_path / "p.parquet")
    found = search_table(sea_snakes(), pq.read_table(tmp_path / "p.parquet"), Rules())
    assert found.counted_images == 3
    assert found.pairs.select(["images", "predicted"]).to_pylist() == [
        {"images": 3, "predicted": 2}
    ]


@given(st.sets(st.integers(0, 40)))
def test_recorded_rows_are_read_back(rows: set[int]) -> None:
    seen = recorded_rows(record_rows(predictions_table([]), sorted(rows)).schema, 41)
    assert seen is not None
    assert set(seen.nonzero()[0].tolist()) == rows


def test_recorded_rows_are_ranges() -> None:
    table = record_rows(predictions_table([]), [7, 0, 1, 2, 5, 8])
    assert table.schema.metadata[ROWS_KEY] == b"0-2 5 7-8"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"0-9", "outside 0..5"),
        (b"1 6", "outside 0..5"),
        (b"one", "damaged"),
        (b"1--2", "damaged"),
        (b"1-3", "own list of rows lacks"),
    ],
)
def test_a_wrong_list_of_rows_is_refused(text: bytes, words: str) -> None:
    table = predictions_table([(0, SEA, 1.0)]).replace_schema_metadata({ROWS_KEY: text})
    with pytest.raises(InputError, match=words):
        search_table(sea_snakes(), table, Rules())
