"""The adaptive loss against a NumPy transcription of its formulas and known values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlimages.losses.paper import PaperLoss
from mlimages.losses.targets import SparseTargets


def softplus(x):
    return np.logaddexp(0, x)


class Transcription:
    """The specification, line by line, on dense arrays."""

    def __init__(self, m, variant):
        self.pos_t, self.neg_t = np.zeros(m), np.zeros(m)
        self.variant = variant

    def step(self, x, z, sel, eta=12.0):
        s = (z >= 0.7).any(0)
        self.pos_t = np.where(s, self.pos_t + 1, 0)
        counted = ~s & sel if self.variant == "code" else ~s
        self.neg_t = np.where(s, 0, self.neg_t + counted)
        rp = np.maximum(0.01, np.log10(10 / (0.01 + self.pos_t)))
        raw = np.log10(10 / (8 + self.neg_t))
        rn = np.where(raw > 0.01, raw, 0.001 if self.variant == "code" else 0.01)
        r = np.where(s, rp, np.where(sel, rn, 0.0))
        known = z != -1
        ce = (eta * z * softplus(-x) + (1 - z) * softplus(x)) * known
        sigmoid = 1 / (1 + np.exp(-x))
        gradient = (-eta * z * (1 - sigmoid) + (1 - z) * sigmoid) * known * r / len(x)
        return (ce.mean(0) * r).sum(), gradient


def random_tags(generator, images, m):
    """Soft and hard tags, some unknown, some below the threshold; whole batches miss categories."""
    values = generator.choice([0.0, 1.0, 0.9, 0.8, 0.5, -1.0], (images, m), p=[0.9] + 5 * [0.02])
    values[:, generator.random(m) < 0.5] = 0
    return values


def compare_over_200_batches(variant, dtype, parts, mine=slice(None), gather=lambda values: values):
    """Hold the loss against its transcription.

    Args:
        variant: of the loss.
        dtype: of the logits.
        parts: slices of the batch, each of them one pass.
        mine: of these, the ones of this process.
        gather: adds up the values and gradients of all processes.
    """
    tolerance = 1e-6 if dtype is torch.float64 else 1e-4
    generator = np.random.default_rng(0)
    m = 40
    loss, reference = PaperLoss(m, variant=variant, seed=3), Transcription(m, variant)
    for step in range(200):
        z = random_tags(generator, 6, m)
        # The reference works with the numbers as they are stored.
        logits = torch.tensor(generator.normal(0, 4, (6, m)), dtype=dtype, requires_grad=True)
        x = logits.detach().double().numpy()
        targets = torch.tensor(z)
        z = z.astype(np.float32).astype(np.float64)
        kept = loss._kept(step).numpy()
        loss.begin_step(SparseTargets.from_dense(targets), step)
        values = [loss(logits[p], SparseTargets.from_dense(targets[p])) for p in parts[mine]]
        sum(values).backward()
        value, gradient = gather(sum(values).detach().double()), gather(logits.grad.double())
        expected, expected_gradient = reference.step(x, z, kept)
        np.testing.assert_allclose(value.item(), expected, rtol=tolerance)
        np.testing.assert_allclose(
            gradient.numpy(), expected_gradient, rtol=tolerance, atol=tolerance * 1e-9
        )
    np.testing.assert_array_equal(loss.pos_t, reference.pos_t)
    np.testing.assert_array_equal(loss.neg_t, reference.neg_t)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("parts", [[slice(0, 6)], [slice(0, 3), slice(3, 6)]])
def test_value_and_gradient_equal_the_transcription_over_200_batches(variant, dtype, parts):
    compare_over_200_batches(variant, dtype, parts)


def weights_over_steps(loss, present, steps):
    """Weight of category 0 while it is present (or absent) in every batch."""
    tags = SparseTargets.from_dense(torch.tensor([[1.0 if present else 0.0, 1.0]]))
    seen = []
    for step in range(steps):
        loss.begin_step(tags, step)
        weight = dict(zip(loss._columns.tolist(), loss._weights.tolist(), strict=True))
        seen.append(weight.get(0, 0.0))
    return seen


def test_weights_of_a_present_category():
    seen = weights_over_steps(PaperLoss(2), present=True, steps=12)
    np.testing.assert_allclose(seen[:3], [0.99568, 0.69680, 0.5214], atol=5e-5)
    assert seen[8] == pytest.approx(0.04528, abs=5e-6)
    assert seen[9:] == [0.01] * 3


@pytest.mark.parametrize(("variant", "floor"), [("paper", 0.01), ("code", 0.001)])
def test_weights_of_an_absent_category_that_is_kept(variant, floor):
    seen = weights_over_steps(PaperLoss(2, variant, keep_negatives=1.0), present=False, steps=4)
    assert seen[0] == pytest.approx(0.04576, abs=5e-6)
    assert seen[1:] == [floor] * 3


def test_variants_differ_in_what_absent_batches_they_count():
    absent = SparseTargets.from_dense(torch.tensor([[0.0, 1.0]]))
    paper, code = PaperLoss(2, "paper"), PaperLoss(2, "code")
    kept = sum(bool(code._kept(step)[0]) for step in range(30))
    for step in range(30):
        paper.begin_step(absent, step)
        code.begin_step(absent, step)
    assert paper.neg_t[0] == 30
    assert code.neg_t[0] == kept < 30


def test_count_restarts_when_the_status_flips():
    loss = PaperLoss(1, keep_negatives=1.0)
    tag, nothing = (SparseTargets.from_dense(torch.tensor([[v]])) for v in (1.0, 0.0))
    for step, targets in enumerate([tag, tag, nothing, tag]):
        loss.begin_step(targets, step)
    assert (loss.pos_t.item(), loss.neg_t.item()) == (1, 0)


def test_a_tenth_of_the_absent_categories_is_kept_and_depends_on_seed_and_step_only():
    loss, same, other = PaperLoss(11166, seed=5), PaperLoss(11166, seed=5), PaperLoss(11166, seed=6)
    kept = loss._kept(17)
    assert 0.09 < kept.float().mean() < 0.11
    assert torch.equal(kept, same._kept(17))
    assert not torch.equal(kept, other._kept(17))
    assert not torch.equal(kept, loss._kept(18))


def batch(images=8, m=30, seed=0):
    generator = np.random.default_rng(seed)
    z = torch.tensor(random_tags(generator, images, m))
    return torch.tensor(generator.normal(0, 3, (images, m))), z


def test_micro_batches_add_up_to_the_whole_batch():
    x, z = batch()
    whole, parts = PaperLoss(30), PaperLoss(30)
    targets = SparseTargets.from_dense(z)
    whole.begin_step(targets, 0)
    parts.begin_step(targets, 0)
    total = sum(parts(x[i : i + 3], SparseTargets.from_dense(z[i : i + 3])) for i in range(0, 8, 3))
    torch.testing.assert_close(total, whole(x, targets))


def test_mean_reduction_is_the_sum_over_m():
    x, z = batch()
    targets = SparseTargets.from_dense(z)
    values = []
    for reduction in ("sum", "mean"):
        loss = PaperLoss(30, reduction=reduction)
        loss.begin_step(targets, 0)
        values.append(loss(x, targets))
    torch.testing.assert_close(values[0] / 30, values[1])


def test_half_precision_logits_are_computed_in_float32():
    targets = SparseTargets.from_dense(torch.tensor([[1.0, 0.0]]))
    loss = PaperLoss(2, keep_negatives=1.0)
    loss.begin_step(targets, 0)
    logits = torch.tensor([[-40000.0, 40000.0]], dtype=torch.float16, requires_grad=True)
    value = loss(logits, targets)
    assert value.dtype == torch.float32
    assert value.isfinite()  # eta * 40,000 would overflow float16
    value.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_counters_survive_saving():
    first, second = PaperLoss(5), PaperLoss(5)
    for step in range(3):
        first.begin_step(SparseTargets.from_dense(torch.eye(5)[:3]), step)
    second.load_state_dict(first.state_dict())
    assert second.pos_t.tolist() == [3, 3, 3, 0, 0]
    assert second.neg_t.tolist() == [0, 0, 0, 3, 3]
