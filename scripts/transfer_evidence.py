"""Does pretraining help? Three protocols from pretrained networks, each beside its random weights.

    python -m scripts.transfer_evidence DATA --out runs/transfer --backbones NAME RUN --minutes 120
    python -m scripts.transfer_evidence DATA --out runs/transfer --backbones NAME RUN --minutes 0 \\
        --write docs/transfer.md

DATA holds caltech101/ (class folders), voc2012/ (VOCdevkit with lists train and val of 60 photos)
and coco128/. A linear probe goes to Caltech-101. Segmentation and detection are trained once a fold
and network, with COCO128 always among the photos to learn from, and the test photos of all folds
are measured together. What is done is not done again: after Ctrl-C, a kill or --minutes, the same
command goes on where it stopped. A task keeps its state to itself, so that --tasks can share the
tasks out among processes. At the end the table is printed, or written into a page.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import statistics
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scripts.evidence.tables import markdown_table, write_into

from mlimages.errors import InterruptedTrainingError, MlimagesError
from mlimages.models.probe import probe_folder
from mlimages.quickstart.stages import STATE, Outcome, StageLog
from mlimages.training.inference import load_model
from mlimages.transfer.comparison import (
    Measure,
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
IMAGES_PER_CLASS = 15
UNTRAINED = "untrained:"
# Small photos and short runs: what two cores do in an hour. The same for all networks.
COMMON = (
    *("optimizer.name=adamw", "optimizer.learning_rate=3e-4", "optimizer.clip_norm=10"),
    *("optimizer.weight_decay=0.01", "schedule.name=cosine", "schedule.warmup_epochs=0.5"),
    *("data.workers=1", "model.frozen_stages=0", "model.norms=learn", "hardware.precision=float32"),
    *("checkpoint.every_minutes=2", "checkpoint.keep=1", "data.test=[]", f"data.folds={FOLDS}"),
)
TASKS = {
    "probe": ("Caltech-101 probe", "", ()),
    "segmentation": (
        "segmentation, mIoU",
        "voc2012-segmentation-v3-os16",
        ("schedule.epochs=6", "data.size=256", "evaluation.short_side=256", "data.batch_size=8"),
    ),
    "detection": (
        "detection, AP (11 points)",
        "voc2007-detection-0712-fpn",
        (
            *("schedule.epochs=5", "data.size=192", "data.long_side=300"),
            *("data.batch_size=4", "model.regions=32"),
        ),
    ),
}


def recipe_of(task: str, backbone: str, fold: int, data: Path) -> TransferRecipe:
    """The recipe of one run."""
    _, name, changes = TASKS[task]
    return find_transfer_recipe(name).override(
        *COMMON,
        *changes,
        f"data.train={json.dumps(LISTS)}",
        f"data.fold={fold}",
        f"data.coco128={json.dumps(str(data / 'coco128'))}",
        f"model.backbone={json.dumps(backbone)}",
        f"name={json.dumps(f'evidence-{task}')}",
        'expected="Measured by scripts/transfer_evidence.py: see docs/transfer.md."',
    )


class Runs:
    """The runs of one folder.

    Args:
        data: photos, as the page of documentation says.
        out: for all runs.
        changes: "section.key=value" for every recipe, for a look at a tiny size.
        images: photos a class that the probe learns from.
    """

    def __init__(
        self, data: Path, out: Path, changes: tuple[str, ...] = (), images: int = IMAGES_PER_CLASS
    ) -> None:
        self.data, self.out, self.changes, self.images = data, out, changes, images

    def do(self, task: str, backbones: list[str], fresh: bool = False) -> None:
        """Do what is left of a task, fold by fold, so that all networks can soon be compared."""
        log = StageLog(
            self.out / task,
            {"settings": list(self.changes), "images": self.images},
            fresh,
            lambda line: print(line, flush=True),
        )
        for fold in range(1 if task == "probe" else FOLDS):
            for network in networks(backbones):
                if task == "probe":
                    work = partial(self._probe, network)
                else:
                    work = partial(self._fold, task, network, fold)
                title = f"{task} {fold} {label(network)}"
                log.run(stage(network, fold), title, work)

    def _probe(self, network: str) -> Outcome:
        place = self.data / "caltech101" / "101_ObjectCategories"
        report = probe_folder([load_model(network)], place, self.images)
        (result,) = report.results.values()
        found = {"mean": result.mean, "deviation": result.deviation, "splits": result.per_split}
        return Outcome(f"{result.mean:.4f}", found)

    def _fold(self, task: str, network: str, fold: int) -> Outcome:
        recipe = recipe_of(task, network, fold, self.data).override(*self.changes)
        folder = self.folder(task, network, fold)
        photos = read_data(recipe, self.data / "voc2012")
        result = transfer(recipe, photos, folder, resume=folder.exists())
        return Outcome(f"{result.value:.4f}", {"value": result.value, "training": result.seconds})

    def folder(self, task: str, network: str, fold: int) -> Path:
        """Of a training run."""
        return self.out / task / label(network).replace(":", "-") / f"fold-{fold}"

    def table(self, backbones: list[str], draws: int) -> str:
        """A row a network, a column a task; what is not done yet is a dash."""
        columns = [self._column(task, backbones, draws) for task in TASKS]
        titles = [title for title, _, _ in TASKS.values()]
        rows = [
            [f"`{label(network)}`", *(column[number] for column in columns)]
            for number, network in enumerate(networks(backbones))
        ]
        return markdown_table(["", *titles], rows)

    def _column(self, task: str, backbones: list[str], draws: int) -> list[str]:
        path = self.out / task / STATE
        stages = json.loads(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
        folds = range(1 if task == "probe" else FOLDS)
        cells = []
        for backbone in backbones:
            pair = (backbone, UNTRAINED + backbone)
            done = all(stage(network, fold) in stages for network in pair for fold in folds)
            if not done:
                cells += ["-", "-"]
                continue
            seconds = [
                statistics.median(stages[stage(network, fold)]["seconds"] for fold in folds)
                for network in pair
            ]
            if task == "probe":
                values = self._probes([stages[stage(network, 0)]["found"] for network in pair])
            else:
                values = self._differences(task, pair, draws)
            cells += [
                f"{value}; {taken:.0f} s" for value, taken in zip(values, seconds, strict=True)
            ]
        return cells

    def _probes(self, found: list[dict[str, Any]]) -> list[str]:
        """Mean and deviation over splits, and on how many of them the first one is above."""
        ours, theirs = (entry["splits"] for entry in found)
        above = sum(a > b for a, b in zip(ours, theirs, strict=True))
        first, second = (
            f"{100 * entry['mean']:.1f} ± {100 * entry['deviation']:.1f}" for entry in found
        )
        return [f"**{first}** ({above} of {len(ours)} splits above)", second]

    def _differences(self, task: str, pair: tuple[str, str], draws: int) -> list[str]:
        """Measures of both, and the interval of their difference."""
        lines = (
            read_images(self.folder(task, network, fold) for fold in range(FOLDS))
            for network in pair
        )
        found = compare(*lines, self._measure(task), draws)
        interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
        return [f"**{100 * found.first:.1f}** ({interval})", f"{100 * found.second:.1f}"]

    def _measure(self, task: str) -> Measure:
        if task == "segmentation":
            return mean_iou
        return voc_average_precision(read_detection(self.data / "voc2012", LISTS))


def networks(backbones: list[str]) -> list[str]:
    """Each backbone, then the same with random weights."""
    return [prefix + backbone for backbone in backbones for prefix in ("", UNTRAINED)]


def label(network: str) -> str:
    """A network without the place of its run."""
    backbone = network.removeprefix(UNTRAINED)
    return network[: len(network) - len(backbone)] + Path(backbone).name


def stage(network: str, fold: int) -> str:
    """What the log calls a run."""
    return f"{label(network)} {fold}"


def main(arguments: list[str] | None = None) -> int:
    """Do what is left, then show the table."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    runs = Runs(options.data.absolute(), options.out, tuple(options.set), options.probe_images)
    try:
        code = _timed(options, runs) if options.minutes > 0 else 0
        table = runs.table(options.backbones, options.draws)
    except MlimagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if options.write is None:
        print(table)
    else:
        write_into(options.write, table)
    return code


def _timed(options: argparse.Namespace, runs: Runs) -> int:
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, _stop)
    timer = threading.Timer(60 * options.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        for task in options.tasks:
            runs.do(task, options.backbones, options.fresh)
    except (InterruptedTrainingError, KeyboardInterrupt) as error:
        cause = getattr(error, "cause", "stopped by SIGINT")
        print(f"{options.out}: {cause}; run the same command again to go on", file=sys.stderr)
        return InterruptedTrainingError.exit_code
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
    return 0


def _stop(number: int, frame: object) -> None:
    raise InterruptedTrainingError("evidence", "stopped by SIGTERM", "run it again")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.transfer_evidence", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--backbones", nargs="+", default=["efficientnet-lite0"])
    parser.add_argument("--minutes", type=float, default=120, help="stop after so many; 0: at once")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--set", nargs="+", default=[], help="section.key=value of every recipe")
    parser.add_argument("--probe-images", type=int, default=IMAGES_PER_CLASS, help="of a class")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
