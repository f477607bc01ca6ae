"""The paper's loss on sparse tags against torch's dense binary cross-entropy, forward and backward.

At 11,166 categories and 256 images with about nine tags each. The dense side is given its target
ready made; ours starts from the sparse tags. With every category kept and the weights set to one,
both losses are equal, which is checked first.
Peer: https://pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from harness import Outcome, interleaved, main, medians

from mlimages.losses.bce import BinaryCrossEntropy
from mlimages.losses.paper import PaperLoss
from mlimages.losses.targets import SparseTargets

IMAGES, CATEGORIES, TAGS = 256, 11_166, 9


def measure(quick: bool) -> Outcome:
    """Time both sides on the same logits and tags."""
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

    times = interleaved({"paper_loss": paper_loss, "torch_bce": torch_bce}, 10 if quick else 50)
    seconds = medians(times)
    ratio = seconds["paper_loss"] / seconds["torch_bce"]
    return Outcome(seconds=seconds, ratios={"loss_time_vs_bce": ratio}, raw=times)


if __name__ == "__main__":
    main(__doc__.splitlines()[0], measure, ["torch"])
