"""Batches: the right tags for the right images, the same for any number of threads."""

from __future__ import annotations

import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from tests.training.fakes import FakeDatabase, tags_of, tiny_recipe

from mlimages.errors import TrainingError
from mlimages.selection import Selection
from mlimages.training.data import TrainingData
from mlimages.training.tags import TagMatrix, choose_outputs, fingerprint
from mlimages.training.threads import read_images


def make(*changes: str, broken: set[int] | None = None, outputs=(0, 1, 2, 3)) -> TrainingData:
    db = FakeDatabase(broken=broken)
    selection = db.select("train")
    tags = TagMatrix(selection, np.array(outputs))
    return TrainingData(db.reader(), selection, tags, tiny_recipe(*changes))


def test_targets_are_the_tags_of_the_rows() -> None:
    for step in make().steps(0, 12):
        for position, row in enumerate(step.rows.tolist()):
            entries = slice(*step.targets.indptr[position : position + 2].tolist())
            assert step.targets.indices[entries].tolist() == tags_of(row)
            expected = [0.9 if tag == 3 else 1.0 for tag in tags_of(row)]
            np.testing.assert_allclose(step.targets.values[entries], expected)


def test_tags_without_an_output_are_dropped_and_others_renumbered() -> None:
    (step,) = make(outputs=(1, 3)).steps(0, 1)
    renumbered = {1: 0, 3: 1}
    for position, row in enumerate(step.rows.tolist()):
        entries = slice(*step.targets.indptr[position : position + 2].tolist())
        kept = [renumbered[tag] for tag in tags_of(row) if tag in renumbered]
        assert step.targets.indices[entries].tolist() == kept


@pytest.mark.parametrize(("kind", "workers"), [("threads", 1), ("threads", 3), ("processes", 2)])
def test_any_number_and_kind_of_workers_gives_the_same_batches(kind: str, workers: int) -> None:
    # Batches of 20 images are two tasks each, of which the second is short.
    usual = ("data.batch_size=20", "data.workers=0")
    other_workers = ("data.batch_size=20", f"data.workers={workers}", f"data.worker_kind={kind}")
    alone = list(make(*usual, broken={4}).steps(2, 9))
    beside = list(make(*other_workers, broken={4}).steps(2, 9))
    assert len(alone) == len(beside) == 7
    for one, other in zip(alone, beside, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        assert torch.equal(one.parts[0].images, other.parts[0].images)
        assert torch.equal(one.targets.dense(), other.targets.dense())


@pytest.mark.parametrize(
    ("micro", "passes"), [(0, [(2,), (3,), (3,)]), (5, [(2,), (3,), (3,)]), (6, [(2, 3), (3,)])]
)
def test_micro_batches_hold_as_many_groups_as_fit(micro: int, passes: list) -> None:
    (step,) = make("data.batch_norm_group=3", f"data.micro_batch={micro}").steps(0, 1)
    assert step.groups == 3
    assert [part.group_sizes for part in step.parts] == passes
    assert [len(part.targets) for part in step.parts] == [sum(sizes) for sizes in passes]
    assert [len(part.images) for part in step.parts] == [sum(sizes) for sizes in passes]
    joined = torch.cat([part.targets.dense() for part in step.parts])
    assert torch.equal(joined, step.targets.dense())


@pytest.mark.parametrize(("batch", "sizes"), [(3, [3]), (5, [2, 3]), (7, [2, 2, 3])])
def test_no_group_is_a_single_image(batch: int, sizes: list[int]) -> None:
    (step,) = make(f"data.batch_size={batch}", "data.batch_norm_group=2").steps(0, 1)
    assert [len(part.targets) for part in step.parts] == sizes


@pytest.mark.parametrize(("workers", "kind"), [(0, "threads"), (2, "threads"), (2, "processes")])
def test_a_broken_image_is_replaced_with_its_tags(workers: int, kind: str, caplog) -> None:
    data = make(f"data.workers={workers}", f"data.worker_kind={kind}", broken={4, 11})
    rows = [row for step in data.steps(0, 10) for row in step.rows.tolist()]
    assert not {4, 11} & set(rows)
    assert len(rows) == 80
    assert data.broken.reasons == {4: "truncated", 11: "truncated"}
    assert caplog.text.count("image of row 4 is broken (truncated)") == 1
    again = [row for step in make(broken={4, 11}).steps(0, 10) for row in step.rows.tolist()]
    assert rows == again  # replacements are keyed too


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_all_images_broken_stops(kind: str) -> None:
    data = make("data.broken_limit=1", f"data.worker_kind={kind}", broken=set(range(40)))
    with pytest.raises(TrainingError, match="replacements are broken"):
        next(data.steps(0, 1))


def test_leaving_early_ends_the_threads() -> None:
    steps = make("data.workers=3").steps(0, 10_000)
    next(steps)
    steps.close()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("images") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_outputs_are_categories_with_enough_images_in_order() -> None:
    selection = FakeDatabase().select("train")
    assert choose_outputs(selection, 1).tolist() == [0, 1, 2, 3]
    assert choose_outputs(selection, 14).tolist() == [0, 1, 2]


def test_fingerprint_changes_with_images_and_tags() -> None:
    selection = FakeDatabase().select("train")
    same = fingerprint(FakeDatabase().select("train"), ["a"])
    assert fingerprint(selection, ["a"]) == same
    assert fingerprint(selection, ["b"]) != same
    selection.confidences[3] = 0.5
    assert fingerprint(selection, ["a"]) != same


def test_reading_ahead_keeps_the_order_and_gives_reasons() -> None:
    reader = FakeDatabase(broken={2}).reader()
    results = list(read_images(reader, np.array([5, 2, 9]), 8))
    assert [position for position, _ in results] == [0, 1, 2]
    np.testing.assert_array_equal(results[2][1], reader.image(9))
    assert results[1][1] == "truncated"


def test_a_batch_s_tags_copy_nothing_of_a_large_split() -> None:
    count = 500_000
    bounds = np.arange(count + 1, dtype=np.int64)
    categories, confidences = np.zeros(count, np.int32), np.ones(count, np.float32)
    selection = Selection(np.arange(count, dtype=np.int32), bounds, categories, confidences)
    tags = TagMatrix(selection, np.array([0]))
    tracemalloc.start()
    try:
        assert tags.take(np.array([count - 1, 0])).indptr.tolist() == [0, 1, 2]
        assert tracemalloc.get_traced_memory()[1] < count
    finally:
        tracemalloc.stop()
