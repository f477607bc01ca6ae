"""Running what is left: databases, sweeps and rows, each a stage that is done once.

A training run that is cut short goes on from its checkpoint; all else begins anew.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scripts.evidence import databases
from scripts.evidence.arms import (
    ARMS,
    IMAGES_PER_CLASS,
    RATE_FACTORS,
    SPLITS,
    SWEEP_SEED,
    SWEEP_SHARE,
    Arm,
    rate_name,
    row_name,
)

from mlimages.database import Database
from mlimages.errors import TrainingError
from mlimages.models.network import TagNetwork
from mlimages.models.probe import probe_folder
from mlimages.quickstart.building import FILTERS
from mlimages.quickstart.results import Cooccurrence
from mlimages.quickstart.stages import Outcome, StageLog
from mlimages.training.inference import LoadedModel, load_model
from mlimages.training.loop import train
from mlimages.training.recipe import Recipe, find_recipe_of
from mlimages.training.run import TrainingResult

ARM_OF = {arm.name: arm for arm in ARMS}


class Rows:
    """The rows of one folder.

    Args:
        photos: real photos, as the quickstart's.
        out: for databases, runs and the log.
        log: knows what is done.
        changes: "section.key=value" for every recipe, for a look at a tiny size.
        probe: photos a class to learn from, and splits, of the probe.
    """

    def __init__(
        self,
        photos: Path,
        out: Path,
        log: StageLog,
        changes: tuple[str, ...] = (),
        probe: tuple[int, int] = (IMAGES_PER_CLASS, SPLITS),
    ) -> None:
        self.photos, self.out, self.log = photos, out, log
        self.changes, self.probe = changes, probe

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Do a row with all that it needs, and return its measures by name."""
        if arm.question == "c":
            work = partial(self._cooccurrence, arm, seed)
        elif arm.name == "none":
            self._train(ARM_OF["single"], seed)
            work = partial(self._transfer, ARM_OF["single"], seed, trained=False)
        else:
            self._train(arm, seed)
            work = partial(self._transfer if arm.question == "a" else self._by_frequency, arm, seed)
        return self.log.run(row_name(arm, seed), f"({arm.question}) {arm.name}, seed {seed}", work)

    def best_rate(self, arm: Arm) -> float:
        """The learning rate with the greatest mAP on the validation photos after a short run."""
        found: dict[float, float] = {}
        for factor in RATE_FACTORS:
            recipe = self._recipe(arm, SWEEP_SEED)
            schedule, rate = recipe.schedule, round(factor * recipe.optimizer.learning_rate, 6)
            recipe = recipe.override(
                f"optimizer.learning_rate={rate}",
                f"schedule.epochs={SWEEP_SHARE * schedule.epochs}",
                f"schedule.warmup_epochs={SWEEP_SHARE * schedule.warmup_epochs}",
            )
            folder, database = self.out / "sweeps" / f"{arm.name}-{rate:g}", self._database(arm)
            work = partial(_try_rate, database, recipe, folder)
            done = self.log.run(rate_name(arm, rate), f"sweep {arm.name} {rate:g}", work)
            shutil.rmtree(folder, ignore_errors=True)  # tens of megabytes that nobody needs
            found[rate] = done["map_macro"]
        return max(found, key=lambda rate: found[rate])

    def _recipe(self, arm: Arm, seed: int) -> Recipe:
        recipe = find_recipe_of(Recipe, arm.name, below="evidence")
        return recipe.override(f"seed={seed}", *self.changes)

    def _database(self, arm: Arm) -> Path:
        """The database of an arm, built if it is not there."""
        root = self.out / "databases" / arm.database
        completed = arm.database == "photos-0"
        name = row_name(ARM_OF["photos"], 0) if completed else f"database {arm.database}"
        if self.log.is_done(name):
            return root
        if completed:
            self.run(ARM_OF["photos"], 0)
        else:
            self.log.run(name, name, partial(databases.build, arm.database, root, self.photos))
        return root

    def _train(self, arm: Arm, seed: int) -> None:
        """Train an arm's network; several rows may use it."""
        name, folder = f"run {arm.name} {seed}", self._run(arm, seed)
        if self.log.is_done(name):
            return
        rate = self.best_rate(arm)
        recipe = self._recipe(arm, seed).override(f"optimizer.learning_rate={rate}")
        root = self._database(arm)
        work = partial(_train_network, root, recipe, folder)
        self.log.run(name, f"train {arm.name}, seed {seed}", work)

    def _run(self, arm: Arm, seed: int) -> Path:
        return self.out / "runs" / f"{arm.name}-{seed}"

    def _transfer(self, arm: Arm, seed: int, trained: bool = True) -> Outcome:
        """Accuracy of a linear probe on classes of another data set."""
        folder = self._run(arm, seed)
        model = load_model(folder) if trained else _untrained(folder, seed)
        place = self.photos / "caltech101" / "101_ObjectCategories"
        result = probe_folder([model], place, *self.probe).results[model.name]
        return Outcome(f"accuracy {result.mean:.1%}", {"accuracy": result.mean})

    def _by_frequency(self, arm: Arm, seed: int) -> Outcome:
        """What the run measured on its validation split when it ended."""
        result = json.loads((self._run(arm, seed) / "result.json").read_text(encoding="utf-8"))
        evaluation = result["evaluation"]
        groups = evaluation["by_frequency"]
        found = {name: groups[name]["map_macro"] for name in ("head", "middle", "tail")}
        found["map_macro"] = evaluation["model"]["map_macro"]
        counts = {name: groups[name]["categories"] for name in ("head", "middle", "tail")}
        return Outcome(f"mAP {found['map_macro']:.4f}", {**found, "categories": counts})

    def _cooccurrence(self, arm: Arm, seed: int) -> Outcome:
        """What the rule adds, and how right it is where the truth is known."""
        name = f"{arm.name}-{seed}"
        plan = databases.plan_of(arm.name, seed, self.photos, self.out / "drawings" / name)
        recipe = plan.teacher.recipe.override(*self.changes)
        plan = dataclasses.replace(plan, teacher=dataclasses.replace(plan.teacher, recipe=recipe))
        outcome = databases.complete(
            plan, self.out / "databases" / name, self.out / "teachers" / name
        )
        return Outcome(outcome.summary, _figures(outcome.found["cooccurrence"]))


def _train_network(root: Path, recipe: Recipe, folder: Path) -> Outcome:
    result = _train(root, recipe, folder)
    return Outcome(
        f"{result.epochs:g} epochs of {result.images:,} images, {result.categories:,} categories",
        {"images": result.images, "epochs": result.epochs, "categories": result.categories},
    )


def _try_rate(root: Path, recipe: Recipe, folder: Path) -> Outcome:
    try:
        result = _train(root, recipe, folder)
    except TrainingError:
        if not (folder / "nan-capture").exists():
            raise
        return Outcome("diverged", {"map_macro": 0.0})
    value = float((result.evaluation or {})["model"]["map_macro"])
    return Outcome(f"mAP {value:.4f}", {"map_macro": value})


def _train(root: Path, recipe: Recipe, folder: Path) -> TrainingResult:
    return train(Database.open(root), recipe, folder, resume=folder.exists())


def _untrained(folder: Path, seed: int) -> LoadedModel:
    """The network of a run with random weights."""
    model = load_model(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TagNetwork(model.module.config, len(model.categories))
    network.eval().to(model.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return dataclasses.replace(model, module=network)


def _figures(found: Cooccurrence) -> dict[str, Any]:
    """The measures of question c; those against a truth are None without one."""
    truth = {row.label: row for row in found.truth}
    tags, pairs = truth.get("tags added"), truth.get("pairs found")
    return {
        "probable": found.filters[FILTERS["probable"]],
        "pairs": found.filters[FILTERS["unrelated"]],
        "tags": found.tags_after - found.tags_before,
        "precision": tags.precision if tags and tags.added else None,
        "recall": tags.recall if tags else None,
        "pair_precision": pairs.precision if pairs and pairs.added else None,
        "pair_recall": pairs.recall if pairs else None,
        "filters": found.filters,
    }
