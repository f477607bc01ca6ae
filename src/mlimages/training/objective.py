"""From a recipe to its loss, with what the loss has to know of the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mlimages.losses.asymmetric import (
    AsymmetricLoss,
    AsymmetricSettings,
    Unknown,
    class_balanced_weights,
)
from mlimages.losses.base import TagLoss
from mlimages.losses.bce import BinaryCrossEntropy
from mlimages.losses.distribution_balanced import DistributionBalancedLoss
from mlimages.losses.hierarchical import ConsistentScores, HierarchicalLoss
from mlimages.losses.paper import PaperLoss
from mlimages.losses.semantic_softmax import SemanticSoftmaxLoss
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.training.recipe import Recipe


@dataclass(frozen=True)
class OutputStatistics:
    """What the training images and the hierarchy say of the outputs.

    Attributes:
        frequencies: training images of each output, int64 [num_classes].
        num_images: training images in all.
        child, parent: int64 [edges], positions of outputs that are ancestors of one another with no
            other output in between.
        depths: int64 [num_classes], the longest way up, in these edges.
    """

    frequencies: np.ndarray
    num_images: int
    child: np.ndarray
    parent: np.ndarray
    depths: np.ndarray

    @classmethod
    def of(
        cls, frequencies: np.ndarray, num_images: int, hierarchy: Hierarchy, outputs: np.ndarray
    ) -> OutputStatistics:
        """Cut the hierarchy down to the outputs, vocabulary indices in order."""
        place = np.full(hierarchy.num_categories, -1, np.int64)
        place[outputs] = np.arange(len(outputs))
        above = {
            category: {a for a in hierarchy.ancestors(category).tolist() if place[a] >= 0}
            for category in outputs.tolist()
        }
        edges: list[tuple[int, int]] = []
        for category, ancestors in above.items():
            # Those that are above another one are reached through it.
            nearest = ancestors.difference(*(above[ancestor] for ancestor in ancestors))
            edges += [(place[category], place[ancestor]) for ancestor in sorted(nearest)]
        child, parent = np.array(edges, np.int64).reshape(-1, 2).T
        reduced = Hierarchy.from_edges(len(outputs), child, parent)
        depths = reduced.depths.astype(np.int64)
        return cls(frequencies, num_images, child, parent, depths)

    def prior(self) -> torch.Tensor:
        """Share of the training images of each output, float32, never 0 or 1."""
        # One more image with and one without keep logarithms finite.
        return torch.from_numpy((self.frequencies + 1) / (self.num_images + 2)).float()


def build_loss(recipe: Recipe, outputs: OutputStatistics) -> TagLoss:
    """The recipe's loss."""
    loss = _plain_loss(recipe, outputs)
    if not recipe.loss.hierarchical:
        return loss
    child, parent = torch.from_numpy(outputs.child), torch.from_numpy(outputs.parent)
    return HierarchicalLoss(loss, ConsistentScores(child, parent, loss.num_classes))


def _plain_loss(recipe: Recipe, outputs: OutputStatistics) -> TagLoss:
    settings, num_classes = recipe.loss, len(outputs.frequencies)
    match settings.name:
        case "paper":
            return PaperLoss(
                num_classes,
                settings.variant,
                settings.reduction,
                settings.positive_weight,
                settings.keep_negatives,
                settings.status_threshold,
                recipe.seed,
                settings.weight_of_unknown,
            )
        case "bce" if settings.unknown == "negative":
            return BinaryCrossEntropy(num_classes, settings.reduction)
        case "distribution-balanced":
            return DistributionBalancedLoss(
                outputs.frequencies,
                outputs.num_images,
                settings.reduction,
                unknown_weight=settings.weight_of_unknown,
            )
        case "semantic-softmax":
            return SemanticSoftmaxLoss(torch.from_numpy(outputs.depths), settings.smoothing)
    weights = None
    if settings.name == "class-balanced":
        weights = class_balanced_weights(outputs.frequencies, settings.balance_beta)
    return AsymmetricLoss(
        num_classes, _asymmetric(recipe), settings.reduction, outputs.prior(), weights
    )


def _asymmetric(recipe: Recipe) -> AsymmetricSettings:
    settings = recipe.loss
    weight = settings.weight_of_unknown
    unknown: Unknown = "negative" if weight else "ignore"
    if settings.name in ("bce", "class-balanced"):
        return AsymmetricSettings(0, 0, 0, 0, unknown, unknown_weight=weight)
    if settings.name == "focal":
        gamma = settings.gamma
        return AsymmetricSettings(
            gamma, gamma, gamma, 0, unknown, differentiate_weight=True, unknown_weight=weight
        )
    if settings.name == "selective":
        unknown = "selective"
    return AsymmetricSettings(
        settings.gamma_positive,
        settings.gamma_negative,
        settings.gamma_unknown,
        settings.clip,
        unknown,
        settings.likely_ignored,
        settings.prior_ignored,
        unknown_weight=weight,
    )
