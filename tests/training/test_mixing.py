"""Mixup and CutMix: pixels, targets, and the same for any ranks, passes, workers and resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.training.fakes import FakeDatabase, tiny_recipe

from mlimages.errors import RecipeError
from mlimages.losses.asymmetric import AsymmetricLoss, AsymmetricSettings
from mlimages.losses.bce import BinaryCrossEntropy
from mlimages.losses.targets import SparseTargets
from mlimages.training.checkpoint import newest_checkpoint
from mlimages.training.data import StepData
from mlimages.training.distribution import Ranks
from mlimages.training.loop import train
from mlimages.training.mixing import MixingSettings, Mixture, draw_mixture
from mlimages.training.setup import Setup

BOTH = ("mixing.mixup=0.4", "mixing.cutmix=0.4", "data.batch_norm_group=4", "data.batch_size=16")
GROUPS = np.arange(0, 20001, 4)


def drawn(settings: MixingSettings, count: int = 20_000, side: int = 64) -> Mixture:
    return draw_mixture(settings, 3, np.zeros(count, int), np.arange(count), GROUPS, side)


def random_targets(seed: int, images: int = 6, classes: int = 8) -> torch.Tensor:
    """Confidences, 0 for absent, NaN for unknown."""
    generator = np.random.default_rng(seed)
    kinds = [np.nan, 0.0, 1.0, 0.9]
    return torch.tensor(generator.choice(kinds, (images, classes), p=[0.5, 0.2, 0.2, 0.1]))


def sparse(dense: torch.Tensor) -> SparseTargets:
    rows, columns = (~dense.isnan()).nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(dense))
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return SparseTargets(indptr, columns, dense[rows, columns].float(), dense.shape[1])


SIX = Mixture(
    np.array([1.0, 0.7, 0.5, 0.0, 0.25, 1.0]),
    np.zeros((6, 4), int),
    np.array([1, 2, 0, 4, 5, 3]),
)


def test_shares_of_mixed_images_are_as_the_recipe_says() -> None:
    count = 20_000
    mixture = drawn(MixingSettings(mixup=0.3, cutmix=0.5))
    covered = mixture.boxes[:, 2] > mixture.boxes[:, 0]
    for share, found in ((0.5, covered.mean()), (0.3, ((mixture.shares < 1) & ~covered).mean())):
        # Some draws leave nothing to cut; a share of exactly 1 has no probability.
        assert abs(found - share) < 0.02 + 4 * np.sqrt(share * (1 - share) / count)


def test_partners_are_others_of_the_same_group() -> None:
    partners = drawn(MixingSettings(mixup=1.0)).partners
    assert (partners // 4 == np.arange(20_000) // 4).all()
    assert (partners != np.arange(20_000)).all()
    assert len(np.unique(partners)) == 20_000


def test_mixup_adds_pixels_and_cutmix_covers_the_share_it_says() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    for settings in (MixingSettings(mixup=1.0, mixup_alpha=1.0), MixingSettings(cutmix=1.0)):
        mixture = draw_mixture(settings, 0, np.zeros(8, int), np.arange(8), np.array([0, 4, 8]), 16)
        mixed = images.copy()
        mixture.mix_images(mixed)
        for i, share in enumerate(mixture.shares):
            own, other = images[i].astype(float), images[mixture.partners[i]].astype(float)
            if settings.mixup:
                assert np.abs(mixed[i] - (share * own + (1 - share) * other)).max() <= 0.5 + 1e-3
            else:
                left, top, right, bottom = mixture.boxes[i]
                expected = own.copy()
                expected[top:bottom, left:right] = other[top:bottom, left:right]
                np.testing.assert_array_equal(mixed[i], expected)
                assert share == pytest.approx(1 - (right - left) * (bottom - top) / 256)


def test_mixed_targets_are_the_dense_mixture() -> None:
    dense = random_targets(0).nan_to_num(0)
    shares = torch.tensor(SIX.shares)[:, None]
    expected = shares * dense + (1 - shares) * dense[torch.tensor(SIX.partners)]
    mixed = SIX.mix_targets(sparse(dense))
    assert mixed.weights is None
    torch.testing.assert_close(mixed.dense(torch.float64), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_loss_of_mixed_targets_is_the_mixture_of_the_losses(weight: float) -> None:
    dense = random_targets(1)
    x = torch.randn(dense.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    unknown = dense.isnan()
    shares = torch.tensor(SIX.shares)[:, None]
    partners = torch.tensor(SIX.partners)

    def terms(z: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        plain = F.binary_cross_entropy_with_logits(x, z.nan_to_num(0), reduction="none")
        return torch.where(out, weight, 1.0) * plain

    others = terms(dense[partners], unknown[partners])
    expected = (shares * terms(dense, unknown) + (1 - shares) * others).sum() / len(x)
    targets = SIX.mix_targets(sparse(dense), weight)
    kind = "negative" if weight else "ignore"
    settings = AsymmetricSettings(0, 0, 0, 0, kind, unknown_weight=weight)
    losses = [AsymmetricLoss(8, settings), *([BinaryCrossEntropy(8)] if weight == 1 else [])]
    for loss in losses:
        loss.begin_step(targets, 0)
        torch.testing.assert_close(loss(x, targets), expected, rtol=1e-6, atol=1e-7)


def steps(*changes: str, ranks: Ranks | None = None, first: int = 0) -> list[StepData]:
    recipe = tiny_recipe(*BOTH, *changes)
    setup = Setup(FakeDatabase(), recipe, ranks or Ranks())  # type: ignore[arg-type]
    if ranks is not None:  # what the other ranks planned is known without asking them
        planned = setup.data._plan
        setup.data._plan = lambda step: _remembered(setup, planned(step))  # type: ignore[method-assign]
    return list(setup.data.steps(first, 4))


def _remembered(setup: Setup, planned):
    setup.data.ranks = _Told(planned.batch)  # type: ignore[assignment]
    return planned


class _Told:
    def __init__(self, batch: np.ndarray) -> None:
        self.batch = batch

    def gather(self, own: np.ndarray) -> np.ndarray:
        return self.batch


def joined(step: list[StepData]) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [part for data in step for part in data.parts]
    targets = SparseTargets.concatenate([part.targets for part in parts])
    return torch.cat([part.images for part in parts]), targets.dense()


@pytest.mark.parametrize(
    "changes", [("data.workers=0", "data.micro_batch=8"), ("data.worker_kind=processes",)]
)
def test_passes_and_workers_change_nothing(changes: tuple[str, ...]) -> None:
    for one, other in zip(steps(), steps(*changes), strict=True):
        for a, b in zip(joined([one]), joined([other]), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(one.targets.dense(), other.targets.dense())


def test_two_ranks_together_see_what_one_sees_also_from_the_middle() -> None:
    alone = steps("data.workers=0")
    pair = [steps("data.workers=0", ranks=Ranks(rank, 2), first=2) for rank in range(2)]
    for whole, first, second in zip(alone[2:], *pair, strict=True):
        for a, b in zip(joined([whole]), joined([first, second]), strict=True):
            assert torch.equal(a, b)
        # The categories' status comes from the mixed targets of the whole batch.
        for data in (whole, first, second):
            assert torch.equal(data.targets.dense(), joined([whole])[1])


def test_mixing_trains_and_resumes_to_equal_bits(tmp_path: Path) -> None:
    changes = (*BOTH, "loss.name=bce", "loss.unknown=weighted", "evaluation.split=''")
    growing = (*changes, "data.early_sizes=[16,24]", "data.size_epochs=[0.5,1.5]")
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    recipe = tiny_recipe(*growing, "checkpoint.every_steps=2", "checkpoint.keep=9")
    train(FakeDatabase(), recipe, whole)  # type: ignore[arg-type]
    train(FakeDatabase(), recipe, torn)  # type: ignore[arg-type]
    (torn / "result.json").unlink()
    for folder in sorted((torn / "checkpoints").iterdir())[1:]:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    train(FakeDatabase(), recipe, torn, resume=True)  # type: ignore[arg-type]
    one, other = newest_checkpoint(whole), newest_checkpoint(torn)
    assert one is not None
    assert other is not None
    assert one.step == other.step == 5
    for name, tensor in one.model_tensors().items():
        assert torch.equal(tensor, other.model_tensors()[name])


def test_images_grow_at_their_epochs_and_the_rate_does_not_change() -> None:
    growing = ("data.early_sizes=[16,24]", "data.size_epochs=[0.5,1.25]")
    for kind in ("threads", "processes"):
        found = steps(*growing, f"data.worker_kind={kind}")
        # 16 images a step of 40: epochs 0, 0.4, 0.8, 1.2
        assert [step.parts[0].images.shape[1] for step in found] == [16, 16, 24, 24]
    recipe = tiny_recipe(*growing)
    assert recipe.data.size_at(1.25) == 32
    assert recipe.optimizer == tiny_recipe().optimizer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("mixing.mixup=1.5", r"mixing\.mixup: 1\.5 is out of range"),
        ("mixing.mixap=0.5", r"mixing\.mixap: unknown key; did you mean 'mixup'"),
        ("data.early_sizes=[8]", r"data\.early_sizes: \(8,\) is out of range"),
        ("data.early_sizes=[32]", r"data\.size_epochs: \(\) is out of range"),
    ],
)
def test_mistakes_are_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_recipe(change)
    with pytest.raises(RecipeError, match=r"mixing\.cutmix"):
        tiny_recipe("mixing.mixup=0.6", "mixing.cutmix=0.6")
