"""Doubtful and missing tags: cleanlab's ranking on a flat hierarchy, and no noise in ancestors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from tests.labels.reference import World
from tests.labels.stores import store_of
from tests.labels.tiny import ANIMAL, CAR, CAT, DOG, OBJECT, PARENTS, PERSON, TAXONOMY

from mlimages.errors import InputError
from mlimages.labels.predicted_rows import record_rows
from mlimages.labels.quality.label_noise import LabelNoise, rank_label_noise
from mlimages.schemas import DUPLICATES, PREDICTIONS
from mlimages.taxonomy.hierarchy import Hierarchy

EDGES = {(child, parent) for child, parent in enumerate(PARENTS) if parent >= 0}
TREE = TAXONOMY.hierarchy("tencent")


def noisy(images: int, categories: int, seed: int) -> tuple[NDArray[np.bool_], NDArray]:
    """Tags of which some are wrong, and probabilities of the truth: [images, categories]."""
    rng = np.random.default_rng(seed)
    truth = rng.random((images, categories)) < rng.uniform(0.1, 0.5, categories)
    probabilities = np.where(truth, rng.beta(6, 2, truth.shape), rng.beta(2, 7, truth.shape))
    tags = truth ^ (rng.random(truth.shape) < 0.07)
    tags[~tags.any(axis=1), 0] = True
    return tags, (0.06 + 0.9 * probabilities).astype(np.float32)


def table_of(probabilities: NDArray, minimum: float = 0.05) -> pa.Table:
    rows, categories = np.nonzero(probabilities >= minimum)
    columns = [rows.astype(np.int32), categories.astype(np.int32), probabilities[rows, categories]]
    return record_rows(pa.table(columns, schema=PREDICTIONS), np.arange(len(probabilities)))


def predicted(rows: list[tuple[int, int, float]], seen: int) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, PREDICTIONS, strict=True)]
    return record_rows(pa.table(arrays, schema=PREDICTIONS), np.arange(seen))


def flat(tags: NDArray[np.bool_], predictions: pa.Table, root: Path) -> LabelNoise:
    facts = [(int(r), int(c), "first", True, 1.0, "asserted") for r, c in np.argwhere(tags)]
    world = World(tags.shape[1], set(), facts, [{"first"}] * len(tags))
    store = store_of(world, root, partition_rows=64)
    return rank_label_noise(
        store, [Hierarchy.from_edges(tags.shape[1], (), ())], predictions, limit=10**6
    )


@pytest.mark.parametrize("seed", range(3))
def test_on_a_flat_hierarchy_the_ranking_is_cleanlabs(tmp_path: Path, seed: int) -> None:
    classification = pytest.importorskip("cleanlab.multilabel_classification.filter")
    tags, probabilities = noisy(200, 5, seed)
    found = flat(tags, table_of(probabilities), tmp_path / "DB")
    labels = [np.flatnonzero(row).tolist() for row in tags]
    indices, _, _ = classification.find_multilabel_issues_per_class(
        labels,
        probabilities.astype(np.float64),
        return_indices_ranked_by="self_confidence",
        filter_by="confident_learning",
        n_jobs=1,
    )
    for category, expected in enumerate(indices):
        issues = [i for i in [*found.doubtful, *found.missing] if i.category == category]
        issues.sort(key=lambda issue: issue.quality)
        assert [issue.row for issue in issues] == expected.tolist()
    assert len(found.doubtful) + len(found.missing) == sum(map(len, indices)) > 20
    assert found.doubtful_count.sum() == len(found.doubtful)


def test_quality_is_cleanlabs_self_confidence(tmp_path: Path) -> None:
    ranking = pytest.importorskip("cleanlab.multilabel_classification.rank")
    tags, probabilities = noisy(150, 4, 7)
    found = flat(tags, table_of(probabilities), tmp_path / "DB")
    labels = [np.flatnonzero(row).tolist() for row in tags]
    quality = ranking.get_label_quality_scores_per_class(
        labels, probabilities.astype(np.float64), method="self_confidence"
    )
    for issue in [*found.doubtful, *found.missing]:
        assert issue.quality == pytest.approx(quality[issue.row, issue.category])


def test_probabilities_left_out_of_the_table_move_the_ranking_little(tmp_path: Path) -> None:
    tags, probabilities = noisy(400, 5, 3)
    probabilities[probabilities < 0.12] = 0.03
    whole = flat(tags, table_of(probabilities, 0.0), tmp_path / "whole")
    sparse = flat(tags, table_of(probabilities), tmp_path / "sparse")
    for one, other in ((whole.doubtful, sparse.doubtful), (whole.missing, sparse.missing)):
        first, second = ({(i.row, i.category) for i in issues} for issues in (one, other))
        assert len(first & second) >= 0.95 * len(first | second)


def tree_world(facts: list[tuple[int, int]], images: int) -> World:
    said = [(row, category, "first", True, 1.0, "asserted") for row, category in facts]
    return World(9, EDGES, said, [{"first"}] * images)


BACKGROUND = [(row, DOG if row % 2 else CAR) for row in range(2, 40)]
CONFIDENT = [(row, DOG if row % 2 else CAR, 0.9) for row in range(2, 40)]


def test_ancestors_of_a_tag_are_never_missing_and_lifted_ones_never_doubtful(
    tmp_path: Path,
) -> None:
    # Image 0 is tagged dog; the network sees a dog, an animal and an object more surely than most.
    # Image 1 is tagged animal, and the network sees only the dog below it.
    world = tree_world([*BACKGROUND, (0, DOG), (1, ANIMAL)], 40)
    rows = [*CONFIDENT, (0, DOG, 0.95), (0, ANIMAL, 0.99), (0, OBJECT, 0.99), (1, DOG, 0.95)]
    found = rank_label_noise(
        store_of(world, tmp_path / "DB", partition_rows=16), [TREE], predicted(rows, 40)
    )
    assert [(i.row, i.category) for i in found.doubtful] == []
    # That image 1 shows a dog is more exact than its tag, and says so.
    assert [(i.row, i.category, i.below) for i in found.missing] == [(1, DOG, ANIMAL)]


def test_ancestors_in_wordnet_alone_are_not_missing_either(tmp_path: Path) -> None:
    flat_tree = Hierarchy.from_edges(9, (), ())
    world = World(
        9,
        set(),
        [(row, c, "first", True, 1.0, "asserted") for row, c in BACKGROUND],
        [{"first"}] * 40,
    )
    world.facts += [
        (0, ANIMAL, "first", True, 1.0, "asserted"),
        (1, DOG, "first", True, 1.0, "asserted"),
    ]
    rows = [*CONFIDENT, (0, ANIMAL, 0.6), (1, ANIMAL, 0.99), (1, DOG, 0.9)]
    store = store_of(world, tmp_path / "DB", partition_rows=16)
    alone = rank_label_noise(store, [flat_tree], predicted(rows, 40))
    assert [(i.row, i.category) for i in alone.missing] == [(1, ANIMAL)]
    both = rank_label_noise(store, [flat_tree, TREE], predicted(rows, 40))
    assert both.missing == []


def test_the_most_specific_missing_tag_is_named(tmp_path: Path) -> None:
    world = tree_world([*BACKGROUND, (0, CAR), (1, ANIMAL)], 40)
    rows = [*CONFIDENT, (0, CAR, 0.9), (0, ANIMAL, 0.97), (0, DOG, 0.96), (1, ANIMAL, 0.7)]
    found = rank_label_noise(
        store_of(world, tmp_path / "DB", partition_rows=16), [TREE], predicted(rows, 40)
    )
    assert [(i.row, i.category, i.below) for i in found.missing] == [(0, DOG, OBJECT)]


def test_what_is_verified_absent_or_excluded_by_silence_is_not_missing(tmp_path: Path) -> None:
    world = tree_world([*BACKGROUND, (0, CAR), (1, CAR)], 40)
    world.facts.append((0, ANIMAL, "first", False, 1.0, "verified"))
    world.image_sources[1] = {"second"}
    world.exhaustive = {"second": {DOG}}
    rows = [*CONFIDENT, *((row, c, 0.95) for row in (0, 1) for c in (CAR, DOG))]
    store = store_of(world, tmp_path / "DB", partition_rows=16)
    assert rank_label_noise(store, [TREE], predicted(rows, 40)).missing == []


def test_unseen_images_and_unknown_categories_are_not_judged(tmp_path: Path) -> None:
    world = tree_world([*BACKGROUND, (0, DOG), (1, DOG), (0, PERSON)], 40)
    rows = [*CONFIDENT, (0, CAR, 0.97)]
    seen = record_rows(predicted(rows, 40), [0, *range(2, 40)])
    store = store_of(world, tmp_path / "DB", partition_rows=16)
    found = rank_label_noise(store, [TREE], seen)
    # Image 1 was not looked at; "person" is never predicted.
    assert (found.doubtful[0].seen, found.doubtful[0].seen_probability) == (
        CAR,
        pytest.approx(0.97),
    )
    assert [(i.row, i.category, i.probability) for i in found.doubtful] == [(0, DOG, 0.0)]
    assert (found.images, found.categories) == (39, 5)  # dog, car, and what is above them
    with store.commit("test") as commit:
        merged = [{"row": 0, "kept": 3, "evidence": "bytes"}]
        commit.append("duplicates", pa.Table.from_pylist(merged, schema=DUPLICATES))
    assert rank_label_noise(store, [TREE], seen).doubtful == []


def test_only_the_worst_are_listed_but_all_are_counted(tmp_path: Path) -> None:
    doubtful = [(row, CAT) for row in range(2, 8)]
    world = tree_world([*BACKGROUND[6:], *doubtful, (8, CAT), (9, CAT)], 40)
    rows = [*CONFIDENT[6:], *((row, CAT, 0.01 * row) for row, _ in doubtful), (9, CAT, 0.9)]
    rows += [(row, CAT, 0.3) for row in range(10, 40)]
    found = rank_label_noise(
        store_of(world, tmp_path / "DB", partition_rows=16), [TREE], predicted(rows, 40), limit=3
    )
    assert [i.row for i in found.doubtful if i.category == CAT][:3] == [8, 2, 3]
    assert found.doubtful_count[CAT] == 7


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(0, DOG, 1.5)], "outside 0..1"),
        ([(0, 99, 0.5)], "outside 0..8"),
        ([(70, DOG, 0.5)], "images outside"),
    ],
)
def test_predictions_of_another_database_are_refused(
    tmp_path: Path, rows: list, words: str
) -> None:
    store = store_of(tree_world([(0, DOG)], 2), tmp_path / "DB")
    table = predicted(rows, 1).replace_schema_metadata(None)
    with pytest.raises(InputError, match=words):
        rank_label_noise(store, [TREE], table)
    with pytest.raises(InputError, match="no column probability"):
        rank_label_noise(store, [TREE], table.drop(["probability"]))
