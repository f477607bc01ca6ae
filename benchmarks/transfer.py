"""Steps of our detector and segmenter beside torchvision's own, and features beside a timm loop.

Both sides have the same backbone (ResNet-50) with the same weights, the same photos and SGD; ours
is the whole update of `mlimages transfer`, with its keyed draws, its checks and its statistics.
That both give the same numbers is checked first. The peers are torchvision's reference steps, see
peers/torchvision_steps.py, and timm's loop of "Feature Extraction" with our JPEG decoder:
https://huggingface.co/docs/timm/feature_extraction. Ratios of steps are medians over pairs of steps
in turn, in seconds of the processor; their 95 % intervals are bootstraps over the pairs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from harness import Outcome, interleaved, main, medians, real_data
from peers import torchvision_steps as peers
from PIL import Image

from mlimages.images.decoding import decode
from mlimages.tagging.features import extract
from mlimages.training.distribution import Ranks
from mlimages.training.inference import LoadedModel, load_model
from mlimages.transfer.data import TransferPhotos, build_task, read_data
from mlimages.transfer.learner import Learner
from mlimages.transfer.recipe import TransferRecipe

SHORT_SIDE, LONG_SIDE, CROP, BATCH = 192, 256, 161, 2
SEGMENTER_NAMES = {
    "backbone.model.": "backbone.",
    "context.": "classifier.0.",
    "head.0.0.": "classifier.1.",
    "head.0.1.": "classifier.2.",
    "head.1.": "classifier.4.",
}
DETECTOR_NAMES = {
    "backbone.body.model.": "backbone.body.",
    "backbone.pyramid.": "backbone.fpn.",
}


def recipe_of(task: str, **model: object) -> TransferRecipe:
    """A recipe for the 60 photos of VOC 2012, at the peer's settings."""
    lists = {"train": ["VOC2012/train"], "test": ["VOC2012/train"]}
    sides = {"size": SHORT_SIDE if task == "detection" else CROP, "long_side": LONG_SIDE}
    values = {
        "name": task,
        "task": task,
        "model": {"backbone": "untrained:timm:resnet50", **model},
        "data": {"layout": "voc", **lists, **sides, "batch_size": BATCH},
        "optimizer": {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
    }
    return TransferRecipe.from_dict(values)


def renamed(tensors: dict[str, torch.Tensor], names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Our weights by the peer's names."""
    found = {}
    for name, tensor in tensors.items():
        old = next((prefix for prefix in names if name.startswith(prefix)), "")
        found[names.get(old, "") + name.removeprefix(old)] = tensor
    return found


def learner_of(recipe: TransferRecipe, photos: TransferPhotos) -> Learner:
    """A learner of the recipe."""
    return Learner(build_task(recipe, photos), recipe, Ranks())


def detector_sides(place: Path) -> dict[str, Callable[[], object]]:
    """A step of each, on the same two photos."""
    recipe = recipe_of("detection", detector="fpn")
    learner = learner_of(recipe, read_data(recipe, place))
    theirs = peers.detector(len(learner.task.train.classes), SHORT_SIDE, LONG_SIDE)
    theirs.load_state_dict(renamed(learner.network.state_dict(), DETECTOR_NAMES))
    samples = [learner.task.load(index, 0, SHORT_SIDE) for index in range(BATCH)]
    images = [torch.from_numpy(np.array(i)).permute(2, 0, 1) / 255 for i, _, _ in samples]
    with torch.inference_mode():
        answers = [network.eval()(images) for network in (learner.network, theirs)]
    for ours, other in zip(*answers, strict=True):
        torch.testing.assert_close(ours["boxes"], other["boxes"], rtol=1e-3, atol=1e-2)
    edges = np.array([1, 1, 0, 0], np.float32)
    given = [(np.array(image), boxes - edges, labels + 1) for image, boxes, labels in samples]
    trainer = peers.Trainer(theirs)
    return {
        "detector_step": lambda: learner.update(samples, list(range(BATCH)), peers.RATE),
        "torchvision_detector_step": lambda: trainer.detector_step(given),
    }


def segmenter_sides(place: Path) -> dict[str, Callable[[], object]]:
    """A step of each, on the same two crops."""
    recipe = recipe_of("segmentation", segmenter="v3", output_stride=16)
    learner = learner_of(recipe, read_data(recipe, place))
    theirs = peers.segmenter(len(learner.task.train.classes))
    theirs.load_state_dict(renamed(learner.network.state_dict(), SEGMENTER_NAMES))
    samples = [learner.task.load(index, 0, CROP) for index in range(BATCH)]
    images, masks = (np.stack(part) for part in zip(*samples, strict=True))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        expected = theirs.eval()(pixels)["out"]
        torch.testing.assert_close(learner.network.eval()(pixels), expected, rtol=1e-3, atol=1e-4)
    trainer = peers.Trainer(theirs)
    return {
        "segmenter_step": lambda: learner.update(samples, list(range(BATCH)), peers.RATE),
        "torchvision_segmenter_step": lambda: trainer.segmenter_step(images, masks),
    }


def timm_features(model: LoadedModel, paths: list[Path], batch_size: int) -> Callable[[], object]:
    """timm's documented loop: its network without a classifier, and its own transform."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    weights = {
        name.removeprefix("network."): tensor
        for name, tensor in model.module.state_dict().items()
        if "classifier" not in name
    }
    network.load_state_dict(weights)
    config = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**config, is_training=False)

    def loop() -> np.ndarray:
        vectors = []
        for start in range(0, len(paths), batch_size):
            photos = [decode(path.read_bytes()) for path in paths[start : start + batch_size]]
            batch = torch.stack([transform(Image.fromarray(photo)) for photo in photos])
            with torch.inference_mode():
                vectors.append(network(batch).numpy())
        return np.concatenate(vectors)

    return loop


def measure_features(outcome: Outcome, photos: int, repetitions: int) -> None:
    """Whole photo files to vectors, in batches of 32."""
    paths = sorted(real_data("imagenet-sample").glob("*.JPEG"))[:photos]
    model = load_model("efficientnet-lite0")
    theirs = timm_features(model, paths, 32)
    first, second = extract(model, paths, 32).features, theirs()
    assert isinstance(second, np.ndarray)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    likeness = float(((first * second).sum(1) / norms).mean())
    if likeness < 0.95:
        raise SystemExit(f"error: the features are not timm's, their mean cosine is {likeness}")
    outcome.figures["features: mean cosine to timm's"] = likeness
    sides = {"features": lambda: extract(model, paths, 32), "timm_features": theirs}
    times = interleaved(sides, repetitions)
    note(outcome, times, "features_vs_timm", "timm_features", "features")


def note(
    outcome: Outcome, times: dict[str, list[float]], ratio: str, above: str, below: str
) -> None:
    """Add times, the median of their ratios, and its interval."""
    outcome.raw |= times
    outcome.seconds |= medians(times)
    ratios = np.array(times[above]) / np.array(times[below])
    outcome.ratios[ratio] = statistics.median(ratios)
    draws = np.random.default_rng(0).integers(0, len(ratios), (2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    outcome.figures |= {f"{ratio}: 95 % from": float(low), f"{ratio}: 95 % to": float(high)}


def measure(quick: bool) -> Outcome:
    """All three."""
    place, outcome = real_data("voc2012"), Outcome()
    for name, sides in (("detector", detector_sides), ("segmenter", segmenter_sides)):
        times = interleaved(sides(place), 6 if quick else 30, time.process_time)
        peer = f"torchvision_{name}_step"
        note(outcome, times, f"{name}_step_vs_torchvision", f"{name}_step", peer)
    measure_features(outcome, 64 if quick else 320, 4 if quick else 15)
    return outcome


if __name__ == "__main__":
    main(__doc__.splitlines()[0], measure, ["torch", "torchvision", "timm", "numpy"])
