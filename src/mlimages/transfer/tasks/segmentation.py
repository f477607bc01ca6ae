"""Segmentation: DeepLab, measured by mean intersection over union with VOC's void."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mlimages.errors import RecipeError
from mlimages.metrics.segmentation import VOID, Segmentation
from mlimages.models.segmenter import Segmenter
from mlimages.training.distribution import Ranks
from mlimages.transfer.backbones import LoadedBackbone
from mlimages.transfer.datasets.records import MaskedPhotos
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import BackboneTask, Evaluation, measured, scaled
from mlimages.transfer.views import read_photo, segmentation_view, smaller

BLEND = 0.6  # of a class's colour over the photo


class SegmentationTask(BackboneTask):
    """See the module."""

    network: Segmenter

    def __init__(
        self,
        recipe: TransferRecipe,
        backbone: LoadedBackbone,
        train: MaskedPhotos,
        test: MaskedPhotos,
    ) -> None:
        super().__init__(recipe, backbone)
        if recipe.data.batch_size < 2:
            cause = "one photo alone has no batch statistics"
            raise RecipeError("data.batch_size", cause, "use 2 or more")
        self.train, self.test = train, test
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = Segmenter(backbone.module, len(train.classes), recipe.model.segmenter)

    def describe(self) -> dict[str, Any]:
        """See `Task`."""
        return {
            "format_version": 1,
            "task": "segmentation",
            "classes": list(self.train.classes),
            "recipe": self.recipe.to_dict(),
        }

    def load(self, index: int, epoch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Task`: uint8 [size, size, 3] and its classes."""
        image, mask = read_photo(self.train.paths[index]), self.train.mask(index)
        key = (self.recipe.seed, epoch, index)
        return segmentation_view(image, mask, size, self.recipe.data.scales, key)

    def loss(self, samples: list[Any], indices: list[int], step: int) -> torch.Tensor:
        """See `Task`: cross-entropy, a mean over the pixels that are not void."""
        scores = self.network(scaled(np.stack([image for image, _ in samples]), self.device))
        masks = torch.from_numpy(np.stack([mask for _, mask in samples])).long().to(self.device)
        known = (masks != VOID).sum().clamp(min=1)
        losses = F.cross_entropy(scores.float(), masks, ignore_index=VOID, reduction="sum")
        return losses / known

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """See `Task`."""
        meter = Segmentation(len(self.test.classes))
        images = []
        for index, own in enumerate(measured(len(self.test), ranks, self._confusion)):
            meter.confusion += own
            right, there, answered = np.diag(own), own.sum(1), own.sum(0)
            union = there + answered - right
            images.append(
                {
                    "image": self.test.paths[index].name,
                    "score": float((right[union > 0] / union[union > 0]).mean()),
                    "right": right.tolist(),
                    "there": there.tolist(),
                    "found": answered.tolist(),
                }
            )
        result = meter.compute()
        measures = {
            "mIoU": result.mean_iou,
            "pixel accuracy": result.pixel_accuracy,
            "mean accuracy": result.mean_accuracy,
        }
        per_class = {
            name: {"IoU": float(value), "pixels": float(pixels)}
            for name, value, pixels in zip(
                self.test.classes, result.iou, result.confusion.sum(1), strict=True
            )
        }
        return Evaluation("mIoU", measures, per_class, images)

    def _confusion(self, index: int) -> np.ndarray:
        """Pixels of one test photo, int64 [true class, found class]."""
        meter = Segmentation(len(self.test.classes))
        meter.update(self.segment(read_photo(self.test.paths[index])), self.test.mask(index))
        return meter.confusion

    @torch.inference_mode()
    def segment(self, image: np.ndarray) -> np.ndarray:
        """uint8 [height, width], the class of each pixel, over all test views.

        Args:
            image: RGB uint8 [height, width, 3].
        """
        settings = self.recipe.evaluation
        height, width = image.shape[:2]
        view = scaled(smaller(image, settings.short_side)[None], self.device)
        total: torch.Tensor | None = None
        for scale in settings.scales:
            size = [max(16, round(side * scale)) for side in view.shape[-2:]]
            resized = view
            if size != list(view.shape[-2:]):
                resized = F.interpolate(view, size, mode="bilinear", align_corners=False)
            for flip in (False, True) if settings.flip else (False,):
                scores = self.network(resized.flip(3) if flip else resized).float().softmax(1)
                scores = scores.flip(3) if flip else scores
                scores = F.interpolate(scores, (height, width), mode="bilinear")
                total = scores if total is None else total + scores
        assert total is not None
        return total.argmax(1)[0].cpu().numpy().astype(np.uint8)

    def picture(self, index: int) -> np.ndarray:
        """See `Task`: truth on the left, answer on the right."""
        image = read_photo(self.test.paths[index])
        sides = [painted(image, mask) for mask in (self.test.mask(index), self.segment(image))]
        gap = np.full((image.shape[0], 6, 3), 255, np.uint8)
        return np.concatenate([sides[0], gap, sides[1]], axis=1)


def painted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A photo with the classes of its mask in VOC's colours; background and void stay."""
    colours = np.zeros((256, 3), np.uint8)
    for value in range(256):
        for bit in range(8):  # VOC's palette: the bits of a class, three by three, highest first
            for channel in range(3):
                colours[value, channel] |= ((value >> (3 * bit + channel)) & 1) << (7 - bit)
    shown = (mask != 0) & (mask != VOID)
    blended = (1 - BLEND) * image + BLEND * colours[mask]
    return np.where(shown[..., None], blended.astype(np.uint8), image)
