"""Detection: Faster R-CNN, measured by VOC's rules and, where pycocotools is there, by COCO's."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torchvision.ops import batched_nms

from mlimages.images.random_numbers import sample_generator
from mlimages.metrics.detection import VOCDetection
from mlimages.models.detector import Detector
from mlimages.training.distribution import Ranks
from mlimages.transfer.backbones import LoadedBackbone
from mlimages.transfer.datasets.records import BoxedPhotos
from mlimages.transfer.recipe import TransferRecipe
from mlimages.transfer.tasks.base import BackboneTask, Evaluation, measured
from mlimages.transfer.views import mirrored_boxes, read_photo

# From edges (torchvision's) to VOC's pixels: counted from 1, both ends inside.
_TO_PIXELS = np.array([1, 1, 0, 0], np.float32)
JOINING_OVERLAP, MOST_BOXES = 0.5, 100
SHOWN_FROM = 0.5  # score of the boxes that are drawn and that a photo is judged by
_TRUE_COLOUR, _FOUND_COLOUR = (25, 156, 114), (232, 116, 59)
_SIZES_STREAM = 1 << 62  # photo number of the draws of a step's shorter side


class Detection(BackboneTask):
    """See the module."""

    network: Detector

    def __init__(
        self,
        recipe: TransferRecipe,
        backbone: LoadedBackbone,
        train: BoxedPhotos,
        test: BoxedPhotos,
    ) -> None:
        super().__init__(recipe, backbone)
        self.train, self.test = train, test
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = Detector(
                backbone.module,
                len(train.classes),
                recipe.model.detector,
                recipe.data.size,
                recipe.data.long_side,
            )
        if recipe.model.regions:
            self.network.roi_heads.fg_bg_sampler.boxes = recipe.model.regions

    def describe(self) -> dict[str, Any]:
        """See `Task`."""
        return {
            "format_version": 1,
            "task": "detection",
            "classes": list(self.train.classes),
            "recipe": self.recipe.to_dict(),
        }

    def load(self, index: int, epoch: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Task`: RGB uint8 [height, width, 3], boxes [n, 4] and labels [n]."""
        image, boxes = read_photo(self.train.paths[index]), self.train.boxes[index]
        if sample_generator(self.recipe.seed, epoch, index).random(1)[0] < 0.5:
            image, boxes = image[:, ::-1], mirrored_boxes(boxes, image.shape[1])
        return image, boxes, self.train.labels[index]

    def loss(self, samples: list[Any], indices: list[int], step: int) -> torch.Tensor:
        """See `Task`: of proposals and regions, scores and boxes, added up."""
        choices = self.recipe.data.short_sides or (self.recipe.data.size,)
        drawn = sample_generator(self.recipe.seed, step, _SIZES_STREAM).random(1)[0]
        self.network.transform.min_size = (choices[int(drawn * len(choices))],)
        self.network.set_keys(self.recipe.seed, step, indices)
        images = [_tensor(image, self.device) for image, _, _ in samples]
        targets = [
            {
                "boxes": torch.from_numpy(boxes - _TO_PIXELS).to(self.device),
                "labels": torch.from_numpy(labels + 1).to(self.device),
            }
            for _, boxes, labels in samples
        ]
        losses = self.network(images, targets)
        return torch.stack(list(losses.values())).sum()

    def evaluate(self, ranks: Ranks) -> Evaluation:
        """See `Task`."""
        meter, paths = VOCDetection(len(self.test.classes)), self.test.paths
        everything = measured(
            len(paths), ranks, lambda index: self.detect(read_photo(paths[index]))
        )
        images = []
        for index, found in enumerate(everything):
            truth = self.test.boxes[index], self.test.labels[index], self.test.difficult[index]
            meter.update(*found, *truth)
            boxes, scores, labels = found
            images.append(
                {
                    "image": paths[index].name,
                    "score": _photo_score(found, *truth),
                    "boxes": np.round(boxes.astype(float), 1).tolist(),
                    "scores": np.round(scores.astype(float), 5).tolist(),
                    "labels": labels.tolist(),
                }
            )
        result = meter.compute()
        measures = {"mAP voc07": result.voc07, "mAP voc10": result.voc10}
        measures |= coco_average_precision(self.test, everything)
        per_class = {
            name: {
                "AP voc07": float(result.average_precision["voc07"][number]),
                "AP voc10": float(result.average_precision["voc10"][number]),
                "boxes": float(result.boxes[number]),
            }
            for number, name in enumerate(self.test.classes)
        }
        return Evaluation("mAP voc07", measures, per_class, images)

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [n, 4] as VOC writes them, scores [n], labels [n] of a photo, over all test views.

        Args:
            image: RGB uint8 [height, width, 3].
        """
        settings = self.recipe.evaluation
        parts = []
        for size in settings.sizes or (self.recipe.data.size,):
            self.network.transform.min_size = (size,)
            for flip in (False, True) if settings.flip else (False,):
                view = image[:, ::-1] if flip else image
                (found,) = self.network([_tensor(view, self.device)])
                if flip:
                    boxes, width = found["boxes"], image.shape[1]
                    found["boxes"] = boxes[:, [2, 1, 0, 3]] * boxes.new_tensor([-1, 1, -1, 1])
                    found["boxes"] += boxes.new_tensor([width, 0, width, 0])
                parts.append(found)
        joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        if len(parts) > 1:
            arguments = joined["boxes"], joined["scores"], joined["labels"]
            kept = batched_nms(*arguments, JOINING_OVERLAP)[:MOST_BOXES]
            joined = {key: value[kept] for key, value in joined.items()}
        boxes, scores, labels = (joined[key].cpu().numpy() for key in ("boxes", "scores", "labels"))
        return boxes + _TO_PIXELS, scores, labels - 1

    def picture(self, index: int) -> np.ndarray:
        """See `Task`: true boxes green, found ones orange."""
        image = read_photo(self.test.paths[index])
        boxes, scores, labels = self.detect(image)
        canvas = Image.fromarray(image)
        pen = ImageDraw.Draw(canvas)
        for box, label in zip(self.test.boxes[index], self.test.labels[index], strict=True):
            pen.rectangle(_corners(box), outline=_TRUE_COLOUR, width=3)
            pen.text((box[0] + 3, box[1] + 1), self.test.classes[label], fill=_TRUE_COLOUR)
        for box, score, label in zip(boxes, scores, labels, strict=True):
            if score >= SHOWN_FROM:
                pen.rectangle(_corners(box), outline=_FOUND_COLOUR, width=2)
                name = f"{self.test.classes[label]} {score:.2f}"
                pen.text((box[0] + 3, box[3] - 13), name, fill=_FOUND_COLOUR)
        return np.asarray(canvas)


def _corners(box: np.ndarray) -> list[float]:
    """Corners to draw; as VOC writes it, a box thinner than a pixel ends before it begins."""
    first = box[:2] - 1
    return [*first.tolist(), *np.maximum(box[2:] - 1, first).tolist()]


def coco_average_precision(
    photos: BoxedPhotos, found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """COCO's AP, AP50 and AP75 by pycocotools; empty where that is not installed.

    Difficult boxes are what COCO calls a crowd: finding them is neither right nor wrong.
    """
    if importlib.util.find_spec("pycocotools") is None:
        return {}
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    annotations: list[dict[str, Any]] = []
    for image, parts in enumerate(zip(photos.boxes, photos.labels, photos.difficult, strict=True)):
        for box, label, hard in zip(*parts, strict=True):
            entry = _coco_box(image, box, label)
            area = entry["bbox"][2] * entry["bbox"][3]
            extra = {"id": len(annotations) + 1, "iscrowd": int(hard), "area": area}
            annotations.append({**entry, **extra})
    truth.dataset = {
        "images": [{"id": number} for number in range(len(photos))],
        "categories": [{"id": number} for number in range(len(photos.classes))],
        "annotations": annotations,
    }
    answers = [
        {**_coco_box(image, box, label), "score": float(score)}
        for image, parts in enumerate(found)
        for box, score, label in zip(*parts, strict=True)
    ]
    if not answers:
        return dict.fromkeys(("AP coco", "AP50 coco", "AP75 coco"), 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("AP coco", "AP50 coco", "AP75 coco")
    return {name: float(value) for name, value in zip(names, evaluation.stats, strict=False)}


def _coco_box(image: int, box: np.ndarray, label: int) -> dict[str, Any]:
    left, top, right, bottom = (box - _TO_PIXELS).tolist()
    return {
        "image_id": image,
        "category_id": int(label),
        "bbox": [left, top, right - left, bottom - top],
    }


def _photo_score(
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    truth: np.ndarray,
    truth_labels: np.ndarray,
    difficult: np.ndarray,
) -> float:
    """Mean average precision of one photo's own classes, by which pictures are chosen."""
    boxes, scores, labels = found
    if not len(truth_labels):
        return -float((scores >= SHOWN_FROM).sum())
    meter = VOCDetection(int(max(truth_labels.max(), labels.max(initial=0))) + 1)
    meter.update(boxes, scores, labels, truth, truth_labels, difficult)
    value = meter.compute().voc10
    return float(np.nan_to_num(value))


def _tensor(image: np.ndarray, device: torch.device) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    return pixels.permute(2, 0, 1).float().div_(255)
