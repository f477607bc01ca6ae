"""A small but complete set of results, with real pictures and names that try to break the page."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.quickstart.results import (
    AddedTags,
    Cooccurrence,
    Example,
    ExampleTag,
    MetricColumn,
    PackRow,
    PairRow,
    PathTag,
    Probe,
    ProbeRow,
    RealPhotos,
    Results,
    Sample,
    SampleTag,
    SourceRow,
    Stage,
    TaggedPhoto,
    TrainingRun,
)
from mlimages.quickstart.scenes import choose_objects, draw_scene, places

HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)"


def example_results(folder: Path, mode: str = "scenes") -> Results:
    """Results whose pictures are written to `folder`."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pictures = [_picture(folder, number) for number in range(6)]
    rng = np.random.default_rng(0)
    sizes = sorted((int(2 ** rng.uniform(3, 12)) for _ in range(140)), reverse=True)
    return Results(
        mode=mode,
        seed=0,
        version="0.1.0",
        machine={"cores": "2", "Python": "3.11"},
        stages=[
            Stage("scenes", "draw scenes", 24.1, "54 objects in 10 places"),
            Stage("train", "train", 99.0, "12 epochs, 520 images/s"),
        ],
        real=_real(pictures[0]),
        statistics={
            "images": 3760,
            "categories": 11166,
            "categories_with_images": 140,
            "trainable_categories": 98,
            "categories_in_both_parts": 97,
            "tags_per_image": {"mean": 9.17, "minimum": 4, "maximum": 31},
            "images_per_category": {"mean": 246.0, "minimum": 8, "maximum": 3760},
            "images_by_part": {"single": 2160, "multi": 1600},
            "images_by_split": {"train": 3360, "validation": 400},
            "category_sizes": sizes,
            "tag_counts": [0, 0, 0, 3, 80, 400, 800, 900, 700, 420, 200, 120, 60, 30, 20, 10],
        },
        sources=[
            SourceRow("scenes-single", "imagenet", 2160, 2160, 0, 2160, [], []),
            SourceRow(
                "scenes-multi", "table", 1602, 1600, 2, 6800, [(HOSTILE, "no such file")], [HOSTILE]
            ),
        ],
        pack=PackRow(3760, 3760, 0, 1, []),
        samples=[_sample(pictures[number], number) for number in range(6)],
        cooccurrence=_cooccurrence(),
        training=[
            _run("The network of this page", "the paper's loss"),
            _run("Teacher for co-occurrence", "the paper's loss"),
        ],
        metrics=[
            MetricColumn("paper's loss", _measures(0.62)),
            MetricColumn("frequencies", _measures(0.11), baseline=True),
        ],
        examples=[_example(pictures[number], number) for number in range(6)],
        probe=Probe(
            "10 objects that were kept out of training",
            15,
            10,
            150,
            [
                ProbeRow("this network", [0.91, 0.93, 0.90, 0.92, 0.89], 0.91, 0.0158),
                ProbeRow("untrained", [0.61, 0.58, 0.63, 0.60, 0.59], 0.602, 0.0192),
            ],
        ),
    )


def _picture(folder: Path, number: int) -> str:
    rng = random.Random(number)
    place = places()[("sea", "road", "meadow", "room", "snow", "beach")[number]]
    scene = draw_scene(rng, place, choose_objects(rng, place))
    name = f"pictures/{number}.png"
    Image.fromarray(scene.picture).save(folder / name)
    return name


def _real(picture: str) -> RealPhotos:
    path = ["entity", "object, physical object", "structure", "building", HOSTILE]
    tags = [
        PathTag("palace, castle", "n03878066", 0.81, path),
        PathTag(HOSTILE, "n1", 0.12, ["entity", "matter"]),
    ]
    return RealPhotos("EfficientNet-lite0", 1000, [TaggedPhoto(picture, "china.jpg", tags)] * 2)


def _sample(picture: str, number: int) -> Sample:
    tags = [
        SampleTag("sailboat, sailing boat", 1.0, "asserted", "said by scenes-single"),
        SampleTag("sea", 1.0, "cooccurrence", "co-occurs with sailboat (35 of 40 photos)"),
        SampleTag("vessel, watercraft", 1.0, "ancestor", "above sailboat"),
        SampleTag(HOSTILE, 1.0, "ancestor", HOSTILE),
    ]
    return Sample(picture, f"n04128499_{number}", "scenes-single", tags)


def _cooccurrence() -> Cooccurrence:
    pairs = [
        PairRow("sailboat, sailing boat", "sea", 40, 35, 0.875, 0.9),
        PairRow(HOSTILE, "sky", 40, 22, 0.55, 0.72),
    ] * 15
    truth = [
        AddedTags("tags added by the rule", 2480, 2301, 3990, 2301 / 2480, 2301 / 3990),
        AddedTags("pairs of categories", 30, 30, 71, 1.0, 30 / 71),
    ]
    filters = {"predictions of 0.05 or more": 51234, "above 0.95": 8123, "pairs": 30}
    return Cooccurrence(0.95, 0.5, filters, pairs, truth, 21034, 26210)


def _run(label: str, loss: str) -> TrainingRun:
    history = [
        {
            "step": 10.0 * n,
            "epoch": 0.3 * n,
            "loss": 30 / (1 + 0.2 * n) + math.sin(n),
            "learning_rate": 0.1 * min(1, n / 5) * (1 if n < 28 else 0.1),
        }
        for n in range(1, 41)
    ]
    network = "ResNet-26 of width 0.25 at 64 pixels"
    return TrainingRun(label, loss, network, 3360, 140, 1_200_000, 12, 50, 99.0, 512.3, history)


def _measures(level: float) -> dict[str, float | int]:
    names = [
        f"{kind}_{measure}_top{top}"
        for kind in ("instance", "class")
        for measure in ("precision", "recall", "f1")
        for top in (5, 10)
    ]
    measures: dict[str, float | int] = dict.fromkeys(["map_macro", "map_micro", *names], level)
    return measures | {"images": 400, "categories": 96, "minimum_positives": 10}


def _example(picture: str, number: int) -> Example:
    tags = [
        ExampleTag("sea", 0.99, True),
        ExampleTag("sailboat, sailing boat", 0.93, True),
        ExampleTag(HOSTILE, 0.41, False),
    ]
    return Example(picture, f"validation_{number:05d}", tags, ["sky", HOSTILE])
