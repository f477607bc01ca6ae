"""The dataset in anybody's DataLoader: the same batches for any workers, ranks and resuming."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext

import numpy as np
import pytest
import torch
from tests.training.fakes import FakeDatabase, FakeReader, tags_of
from torch.utils.data import DataLoader, RandomSampler

from mlimages.errors import TrainingError
from mlimages.images.augmentation import AugmentationSettings
from mlimages.images.timed_reads import TimedReads
from mlimages.training.dataset import Batch, Keys, LaneSampler, ShardDataset, collate
from mlimages.training.processes import server_context
from mlimages.training.sharing import SharedState
from mlimages.training.tags import TagMatrix


class HungReader(FakeReader):
    """Never answers for some rows, until released."""

    hung = frozenset({7, 8})
    released = threading.Event()

    def read(self, row: int) -> bytes:
        if row in self.hung:
            self.released.wait(30)
        return super().read(row)


@pytest.fixture
def hung() -> Iterator[HungReader]:
    HungReader.released.clear()
    yield HungReader()
    HungReader.released.set()


def make(reader: FakeReader | None = None, seconds: float = 60.0) -> ShardDataset:
    selection = FakeDatabase().select("train")
    tags = TagMatrix(selection, np.arange(4))  # type: ignore[arg-type]
    return ShardDataset(
        reader or FakeReader(),  # type: ignore[arg-type]
        selection,  # type: ignore[arg-type]
        tags,
        AugmentationSettings(),
        size=32,
        read_seconds=seconds,
    )


def batches(workers: int, seen: int = 0, **options: object) -> list[Batch]:
    dataset = make(FakeReader({4}))
    sampler = LaneSampler(dataset.order(seed=3, lanes=8), 6, seen, **options)  # type: ignore[arg-type]
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers)
    found = list(loader)
    assert len(found) == len(sampler)
    return found


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.rows, other.rows)
        and torch.equal(one.images, other.images)
        and torch.equal(one.targets.dense(), other.targets.dense())
        and (one.samples_seen, one.broken) == (other.samples_seen, other.broken)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(workers: int) -> None:
    alone, beside = batches(0), batches(workers)
    assert len(alone) == 7
    assert all(map(same, alone, beside))


def test_an_epoch_holds_every_image_once_with_its_tags() -> None:
    found = batches(0)
    rows = torch.cat([batch.rows for batch in found]).tolist()
    replaced = set(range(40)) - set(rows)
    assert (len(rows), replaced) == (40, {4})
    assert [batch.broken for batch in found if batch.broken] == [{4: "truncated"}]
    for batch in found:
        for position, row in enumerate(batch.rows.tolist()):
            tags = batch.targets.dense()[position].nonzero().ravel().tolist()
            assert tags == tags_of(row)


def test_resuming_from_the_samples_seen_gives_the_remaining_batches() -> None:
    whole = batches(0, stop=100)
    again = batches(2, seen=whole[4].samples_seen, stop=100)
    assert len(again) == len(whole) - 5
    assert all(map(same, whole[5:], again))


def test_ranks_share_each_batch() -> None:
    whole = batches(0)
    shares = [batches(0, rank=rank, ranks=2) for rank in range(2)]
    for one, *parts in zip(whole, *shares, strict=True):
        images = torch.cat([part.images for part in parts])
        order = [one.rows.tolist().index(row) for part in parts for row in part.rows.tolist()]
        assert sorted(order) == list(range(len(one)))
        assert torch.equal(one.images[order], images)


def test_an_image_looks_different_in_each_epoch_but_never_changes() -> None:
    def load(epoch: int) -> torch.Tensor:
        return make().__getitems__(Keys(np.array([epoch]), np.array([5]))).images

    assert load(0).shape == (1, 32, 32, 3)
    assert load(0).dtype == torch.uint8
    assert torch.equal(load(0), load(0))
    assert not torch.equal(load(0), load(1))


def test_other_samplers_get_views_from_torch_s_generator() -> None:
    dataset = make()
    torch.manual_seed(5)
    one = dataset[3]
    other = dataset[3]
    torch.manual_seed(5)
    assert torch.equal(one.images, dataset[3].images)
    assert not torch.equal(one.images, other.images)
    loader = DataLoader(dataset, 16, sampler=RandomSampler(dataset), collate_fn=collate)
    rows = [row for batch in loader for row in batch.rows.tolist()]
    assert sorted(rows) == list(range(40))


def test_single_samples_are_joined() -> None:
    dataset = make()
    joined = collate([dataset[2], dataset[9]])
    assert joined.rows.tolist() == [2, 9]
    assert joined.images.shape == (2, 32, 32, 3)
    assert len(joined.targets) == len(joined) == 2


def test_a_hung_read_is_named_and_another_image_takes_its_place(hung: HungReader) -> None:
    dataset = make(hung, seconds=0.2)
    rows = np.array([6, 7, 9, 8, 10])
    batch = dataset.__getitems__(Keys(np.zeros(5, dtype=np.int64), rows))
    assert batch.broken.keys() >= {7, 8}
    assert set(batch.broken.values()) == {"no answer in 0.2 s"}
    assert batch.rows[[0, 2, 4]].tolist() == [6, 9, 10]
    assert not {7, 8} & set(batch.rows.tolist())


def test_reads_without_a_limit_need_no_thread() -> None:
    before = threading.active_count()
    found = list(TimedReads(FakeReader({2}), 0).read([1, 2, 3]))
    assert threading.active_count() <= before
    assert [isinstance(data, bytes) for data in found] == [True, False, True]


def test_a_fault_of_the_reader_is_raised_and_not_taken_for_a_bad_image() -> None:
    class Faulty(FakeReader):
        def read(self, row: int) -> bytes:
            raise KeyError(row)

    with pytest.raises(KeyError):
        list(TimedReads(Faulty(), 5).read([1]))


def test_all_images_broken_stops() -> None:
    with pytest.raises(TrainingError, match="replacements are broken"):
        make(FakeReader(set(range(40))))[0]


def test_another_process_maps_the_arrays_instead_of_copying_them() -> None:
    array = np.arange(1_000_000)
    shared = SharedState({"large": array, "small": "text", "empty": np.empty(0)})
    recipe = pickle.dumps(shared.recipe())
    assert len(recipe) < 2000
    function, arguments = pickle.loads(recipe)
    state = function(*arguments)
    np.testing.assert_array_equal(state["large"], array)
    assert (state["small"], len(state["empty"])) == ("text", 0)
    assert isinstance(state["large"].base, np.memmap | memoryview | np.ndarray)
    path = shared.path
    del shared
    assert not os.path.exists(path)
    np.testing.assert_array_equal(state["large"], array)  # what is mapped stays


@pytest.mark.parametrize("start", [lambda: multiprocessing.get_context("spawn"), server_context])
def test_processes_started_afresh_give_the_same_batches(start: Callable[[], BaseContext]) -> None:
    dataset = make()
    sampler = LaneSampler(dataset.order(seed=3, lanes=8), 6)
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=1,
        multiprocessing_context=start(),
    )
    alone = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate)
    assert all(map(same, alone, loader))
