"""Does pretraining help? Detection and segmentation on small VOC, in folds, beside random weights.

    python scripts/transfer_evidence.py DATA OUT --minutes 60

DATA holds voc2012/ (VOCdevkit with lists train and val of 60 photos) and coco128/. Each task is
trained once a fold and network, with COCO128 always among the photos to learn from, and the test
photos of all folds are measured together. It stops by itself after --minutes and goes on where it
was when run again; at the end it prints the table and writes OUT/evidence.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from dataclasses import asdict
from pathlib import Path

from mlimages.cli.output import table
from mlimages.errors import InterruptedTrainingError
from mlimages.storage import write_text
from mlimages.transfer.comparison import (
    Comparison,
    compare,
    mean_iou,
    read_images,
    voc_average_precision,
)
from mlimages.transfer.data import read_data
from mlimages.transfer.datasets.voc import read_detection
from mlimages.transfer.loop import transfer
from mlimages.transfer.recipe import TransferRecipe, find_transfer_recipe

LISTS = ("VOC2012/train", "VOC2012/val")
FOLDS = 4
# Small photos and short runs: what two cores do in an hour or two. The same for all networks.
COMMON = (
    *("optimizer.name=adamw", "optimizer.learning_rate=3e-4", "optimizer.clip_norm=10"),
    *("optimizer.weight_decay=0.01", "schedule.name=cosine", "schedule.warmup_epochs=0.5"),
    *("data.workers=1", "model.frozen_stages=0", "model.norms=learn", "hardware.precision=float32"),
    *("checkpoint.every_minutes=2", "data.test=[]", f"data.folds={FOLDS}"),
)
TASKS = {
    "segmentation": (
        "voc2012-segmentation-v3plus-os16",
        ("data.size=256", "evaluation.short_side=256", "data.batch_size=8"),
    ),
    "detection": (
        "voc2007-detection-0712-fpn",
        ("data.size=256", "data.long_side=400", "data.batch_size=4", "model.regions=64"),
    ),
}


def recipe_of(task: str, backbone: str, fold: int, epochs: float, data: Path) -> TransferRecipe:
    """The recipe of one run."""
    name, changes = TASKS[task]
    return find_transfer_recipe(name).override(
        *COMMON,
        *changes,
        f"data.train={json.dumps(LISTS)}",
        f"data.fold={fold}",
        f"data.coco128={json.dumps(str(data / 'coco128'))}",
        f"schedule.epochs={epochs}",
        f"model.backbone={json.dumps(backbone)}",
        f"name={json.dumps(f'evidence-{task}')}",
        'expected="Measured here: see docs/transfer.md."',
    )


def main() -> int:
    """Run what is left, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so many")
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--folds", type=int, default=FOLDS, help="only the first so many")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--backbone", default="efficientnet-lite0")
    options = parser.parse_args()
    networks = (options.backbone, f"untrained:{options.backbone}")
    timer = threading.Timer(60 * options.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    found: dict[str, Comparison] = {}
    for task in options.tasks:
        runs: dict[str, list[Path]] = {network: [] for network in networks}
        for fold in range(options.folds):
            for network in networks:
                recipe = recipe_of(task, network, fold, options.epochs, options.data)
                out = options.out / task / network.replace(":", "-") / f"fold-{fold}"
                try:
                    result = transfer(
                        recipe, read_data(recipe, options.data / "voc2012"), out, True
                    )
                except InterruptedTrainingError as error:
                    print(f"{error.thing}: {error.cause}; run the same command again to go on")
                    return error.exit_code
                runs[network].append(out)
                seconds = f"{result.seconds:.0f} s"
                print(f"{task} fold {fold} {network}: {result.value:.4f}, {seconds}", flush=True)
        truth = read_detection(options.data / "voc2012", LISTS)
        measure = mean_iou if task == "segmentation" else voc_average_precision(truth)
        pair = (read_images(runs[network]) for network in networks)
        found[task] = compare(*pair, measure, options.draws)
    timer.cancel()
    rows = [
        [task, *(f"{100 * value:.1f}" for value in (c.first, c.second)), _interval(c), c.photos]
        for task, c in found.items()
    ]
    print(table(rows, ["", *networks, "difference, 95 %", "photos"]))
    content = {task: asdict(comparison) for task, comparison in found.items()}
    write_text(options.out / "evidence.json", json.dumps(content, indent=1) + "\n")
    return 0


def _interval(comparison: Comparison) -> str:
    return f"{100 * comparison.low:+.1f} to {100 * comparison.high:+.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
