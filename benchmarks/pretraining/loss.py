"""The paper's loss on sparse tags against torch's dense binary cross-entropy, forward and backward.

At 11,166 categories and 256 images with nine tags each, drawn evenly: that makes more categories
present, and our side dearer, than real tags do. The dense side is given its target ready made; ours
starts from the sparse tags. With every category kept and the weights set to one, both losses are
equal, which is checked first.
Peer: https://pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from harness import Outcome, interleaved, medians, one_core
from torch.profiler import ProfilerActivity, profile

from mlimages.losses.bce import BinaryCrossEntropy
from mlimages.losses.paper import PaperLoss
from mlimages.losses.targets import SparseTargets

IMAGES, CATEGORIES, TAGS = 256, 11_166, 9


def measure(quick: bool) -> Outcome:
    """CPU seconds and memory of both sides on the same logits and tags."""
    torch.manual_seed(0)
    dense = torch.zeros(IMAGES, CATEGORIES)
    dense.scatter_(1, torch.randint(CATEGORIES, (IMAGES, TAGS)), 1.0)
    targets = SparseTargets.from_dense(dense)
    logits = torch.randn(IMAGES, CATEGORIES, requires_grad=True)
    ours, plain = PaperLoss(CATEGORIES), BinaryCrossEntropy(CATEGORIES)
    plain.begin_step(targets, 0)
    expected = F.binary_cross_entropy_with_logits(logits, dense, reduction="sum") / IMAGES
    torch.testing.assert_close(plain(logits, targets), expected)

    def paper_loss() -> None:
        ours.begin_step(targets, 0)
        torch.autograd.grad(ours(logits, targets), logits)

    def torch_bce() -> None:
        value = F.binary_cross_entropy_with_logits(logits, dense, reduction="sum") / IMAGES
        torch.autograd.grad(value, logits)

    sides = {"paper_loss": paper_loss, "torch_bce": torch_bce}
    with one_core():
        times = interleaved(sides, 10 if quick else 50, time.process_time)
        peaks = {name: allocated(side) for name, side in sides.items()}
    seconds = medians(times)
    ratios = {
        "loss_time_vs_bce": seconds["paper_loss"] / seconds["torch_bce"],
        "loss_memory_vs_bce": peaks["paper_loss"] / peaks["torch_bce"],
    }
    figures = {f"{name} megabytes beyond logits and tags": p / 1e6 for name, p in peaks.items()}
    return Outcome(seconds=seconds, ratios=ratios, raw=times, figures=figures)


def allocated(side: Callable[[], object]) -> int:
    """The most bytes of tensors that were held at once, beyond those held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        side()
    results = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    memory = sorted((e for e in results if e.name() == "[memory]"), key=lambda e: e.start_ns())
    held = peak = 0
    for event in memory:
        held += event.nbytes()
        peak = max(peak, held)
    return peak
