"""Classification: one class a photo, or several.

Softmax cross-entropy and top-1, top-5 and mean per-class accuracy for one class; binary
cross-entropy or the asymmetric loss and mean average precision for several. Average precision is
scikit-learn's; the scores of several crops and sizes are averaged as probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mlimages.errors import InputError, require
from mlimages.images.augmentation import draw
from mlimages.images.random_numbers import sample_generator
from mlimages.images.views import evaluation_image, train_view
from mlimages.models.network import NetworkConfig, TagNetwork
from mlimages.taxonomy.wordnet import is_wnid, wordnet
from mlimages.training.distribution import Ranks
from mlimages.training.state import describe_network
from mlimages.transfer.backbones import LoadedBackbone
from mlimages.transfer.datasets.records import LabelledPhotos, TaggedPhotos
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import BackboneTask, Evaluation, measured, scaled
from mlimages.transfer.views import named_photo, read_bytes, read_photo, ten_crops

GAMMA, CLIP = 4.0, 0.05  # of the asymmetric loss (Ridnik et al., ICCV 2021), positives with 1


class Classification(BackboneTask):
    """See the module. `train` and `test` are both labelled, or both tagged."""

    network: TagNetwork

    def __init__(
        self,
        recipe: TransferRecipe,
        backbone: LoadedBackbone,
        train: LabelledPhotos | TaggedPhotos,
        test: LabelledPhotos | TaggedPhotos,
    ) -> None:
        super().__init__(recipe, backbone)
        self.train, self.test = train, test
        self.single = isinstance(train, LabelledPhotos)
        if self.single != (recipe.loss.name == "softmax"):
            kind = "one class" if self.single else "several classes"
            action = "use softmax for one class a photo, bce or asymmetric for several"
            raise InputError(f"loss {recipe.loss.name}", f"the photos have {kind} each", action)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            config = NetworkConfig(backbone.config, recipe.model.head)
            self.network = TagNetwork(config, len(train.classes))
        self.network.backbone = backbone.module
        if isinstance(train, TaggedPhotos):
            self.network.head.start_at_prior(_frequencies(train.tags))

    def describe(self) -> dict[str, Any]:
        """See `Task`: model.json as of pretraining, so that all commands take the result."""
        data, evaluation = self.recipe.data, self.recipe.evaluation
        size = data.late_size or data.size
        described = describe_network(
            self.network.config,
            "softmax" if self.single else "sigmoid",
            size,
            evaluation.crop_fraction,
            describe_classes(self.train.classes),
        )
        return {**described, "task": self.recipe.task, "recipe": self.recipe.to_dict()}

    def load(self, index: int, epoch: int, size: int) -> tuple[np.ndarray, Any]:
        """See `Task`: uint8 [size, size, 3] and the label or the tags."""
        generator = sample_generator(self.recipe.seed, epoch, index)
        parameters = draw(self.recipe.augmentation, generator)
        path = self.train.paths[index]
        with named_photo(path):
            view = train_view(read_bytes(path), size, parameters)
        return view, _answers(self.train)[index]

    def loss(self, samples: list[Any], indices: list[int], step: int) -> torch.Tensor:
        """See `Task`."""
        images = scaled(np.stack([image for image, _ in samples]), self.device)
        logits = self.network(images.contiguous(memory_format=torch.channels_last)).float()
        answers = np.stack([answer for _, answer in samples])
        target = torch.from_numpy(answers).to(self.device)
        settings = self.recipe.loss
        if settings.name == "softmax":
            return F.cross_entropy(logits, target, label_smoothing=settings.label_smoothing)
        return tag_loss(logits, target, settings.name == "asymmetric")

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """See `Task`."""
        settings = self.recipe.evaluation
        sizes = settings.sizes or (self.recipe.data.late_size or self.recipe.data.size,)
        scores = {size: self._scores(size, ranks) for size in sizes}
        if len(sizes) > 1:
            scores[0] = np.mean(list(scores.values()), axis=0)
        return self._single(scores) if self.single else self._several(scores)

    def picture(self, index: int) -> np.ndarray:
        """See `Task`."""
        return read_photo(self.test.paths[index])

    def _scores(self, size: int, ranks: Ranks) -> np.ndarray:
        """Probabilities [photos, classes], means over the crops."""
        settings = self.recipe.evaluation
        photos = max(1, settings.batch_size // settings.crops)

        def measure(batch: int) -> np.ndarray:
            return self.probabilities(self.test.paths[batch * photos :][:photos], size)

        batches = -(-len(self.test) // photos)
        return np.concatenate(measured(batches, ranks, measure, f"at {size}"))

    @torch.inference_mode()
    def probabilities(self, paths: Sequence[Path], size: int) -> np.ndarray:
        """Probabilities [photos, classes] of some photos, means over the crops."""
        settings, crops = self.recipe.evaluation, []
        for path in paths:
            image = read_photo(path)
            if settings.crops == 10:
                crops.append(ten_crops(image, size, settings.crop_fraction))
            else:
                crops.append(evaluation_image(image, size, settings.crop_fraction)[None])
        logits = self.network(scaled(np.concatenate(crops), self.device)).float()
        shares = logits.softmax(1) if self.single else logits.sigmoid()
        return shares.unflatten(0, (-1, settings.crops)).mean(1).cpu().numpy()

    def _single(self, scores: dict[int, np.ndarray]) -> Evaluation:
        assert isinstance(self.test, LabelledPhotos)
        labels, measures = self.test.labels, {}
        for size, probabilities in scores.items():
            place = f"@{size}" if size else "@all"
            for k in (1, 5):
                if k < len(self.test.classes):
                    measures[f"top-{k}{place}"] = top_accuracy(probabilities, labels, k)
            recalls = class_recalls(probabilities, labels, len(self.test.classes))
            measures[f"mean per-class{place}"] = float(np.nanmean(recalls))
            if self.test.accepted is not None:
                best = probabilities.argmax(1)
                kept = [i for i, right in enumerate(self.test.accepted) if right]
                hits = [best[i] in self.test.accepted[i] for i in kept]
                measures[f"ReaL{place}"] = float(np.mean(hits))
        probabilities = list(scores.values())[-1]
        recalls = class_recalls(probabilities, labels, len(self.test.classes))
        folders = self.recipe.data.layout in ("folders", "own")
        name = "mean per-class" if folders else "top-1"
        return Evaluation(
            next(key for key in reversed(measures) if key.startswith(name)),
            measures,
            {c: {"accuracy": float(r)} for c, r in zip(self.test.classes, recalls, strict=True)},
            [
                {
                    "image": path.name,
                    "score": float(row[label]),
                    "truth": self.test.classes[label],
                    "answer": _named(self.test.classes, row),
                }
                for path, row, label in zip(self.test.paths, probabilities, labels, strict=True)
            ],
        )

    def _several(self, scores: dict[int, np.ndarray]) -> Evaluation:
        assert isinstance(self.test, TaggedPhotos)
        tags, measures = self.test.tags, {}
        for size, probabilities in scores.items():
            values = average_precisions(probabilities, tags)
            measures[f"mAP@{size}" if size else "mAP@all"] = float(np.nanmean(values))
        images = []
        for path, row, truth in zip(self.test.paths, probabilities, tags, strict=True):
            there, absent = row[truth == 1], row[truth == 0]
            margin = (there.mean() if len(there) else 1.0) - (absent.max() if len(absent) else 0.0)
            names = ", ".join(self.test.classes[i] for i in np.flatnonzero(truth == 1))
            answer = _named(self.test.classes, row)
            images.append(
                {"image": path.name, "score": float(margin), "truth": names, "answer": answer}
            )
        per_class = {
            name: {"average precision": float(value), "photos": float((column == 1).sum())}
            for name, value, column in zip(self.test.classes, values, tags.T, strict=True)
        }
        return Evaluation(list(measures)[-1], measures, per_class, images)


def tag_loss(logits: torch.Tensor, tags: torch.Tensor, asymmetric: bool) -> torch.Tensor:
    """Mean over photos of the sum over classes; NaN in `tags` costs nothing."""
    known = ~torch.isnan(tags)
    tags = torch.where(known, tags, torch.zeros_like(tags))
    present, absent = F.logsigmoid(logits), F.logsigmoid(-logits)
    if not asymmetric:
        losses = -(tags * present + (1 - tags) * absent)
    else:
        shifted = (logits.sigmoid() - CLIP).clamp(min=0)
        negative = shifted**GAMMA * torch.log1p(-shifted)
        losses = -(tags * (1 - logits.sigmoid()) * present + (1 - tags) * negative)
    return (losses * known).sum() / len(logits)


def top_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of the photos whose label is among the k highest scores; a tie is a miss.

    Args:
        scores: [photos, classes].
        labels: int [photos].
        k: how many.
    """
    own = scores[np.arange(len(labels)), labels][:, None]
    return float(((scores >= own).sum(1) <= k).mean())


def class_recalls(scores: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Of each class the share of its photos that were recognised; NaN without any."""
    right = scores.argmax(1) == labels
    total = np.bincount(labels, minlength=num_classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(labels[right], minlength=num_classes) / total


def average_precisions(scores: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Of each class over the photos that it is judged on; NaN without a positive."""
    metrics = require("sklearn.metrics", extra="train")
    values = np.full(tags.shape[1], np.nan)
    for number, (column, truth) in enumerate(zip(scores.T, tags.T, strict=True)):
        known = ~np.isnan(truth)
        if (truth[known] == 1).any():
            values[number] = metrics.average_precision_score(truth[known], column[known])
    return values


def describe_classes(classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """What model.json says about classes: WordNet's where all are its ids, otherwise the user's."""
    nouns = wordnet() if all(map(is_wnid, classes)) else None
    if nouns is not None and all(name in nouns for name in classes):
        return [
            {"key": key, "name": nouns.name(key), "parents": list(nouns.hypernyms(key))}
            for key in classes
        ]
    return [{"key": f"own:{name}", "name": name, "parents": []} for name in classes]


def _frequencies(tags: np.ndarray) -> torch.Tensor:
    """Share of the photos with each tag, of those that it is judged on; never quite 0 or 1."""
    present, judged = np.nansum(tags, axis=0), (~np.isnan(tags)).sum(0)
    return torch.from_numpy((present + 0.5) / (judged + 1)).float()


def _answers(photos: LabelledPhotos | TaggedPhotos) -> np.ndarray:
    return photos.labels if isinstance(photos, LabelledPhotos) else photos.tags


def _named(classes: tuple[str, ...], row: np.ndarray) -> str:
    best = np.argsort(-row, kind="stable")[:3]
    return ", ".join(f"{classes[i]} {row[i]:.2f}" for i in best)
