"""The stages that train and measure networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlimages.database import Database
from mlimages.models.probe import probe_folder
from mlimages.quickstart.plans import PlannedRun
from mlimages.quickstart.results import MetricColumn, Probe, ProbeRow, TrainingRun
from mlimages.quickstart.showing import show_examples
from mlimages.quickstart.stages import Outcome
from mlimages.training.evaluation import evaluate_database
from mlimages.training.inference import load_model
from mlimages.training.loop import train

IMAGES_PER_CLASS, SPLITS = 15, 5
EXAMPLES = 9
LOSSES = {"paper": "the paper's adaptive loss", "bce": "binary cross-entropy"}


def train_network(root: Path, planned: PlannedRun, runs: Path) -> Outcome:
    """Train a network on the database at `root`, or continue where its run stopped."""
    recipe, folder = planned.recipe, runs / planned.name
    result = train(Database.open(root), recipe, folder, resume=folder.exists())
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    history = [line for line in map(json.loads, lines) if line["kind"] == "train"]
    run = TrainingRun(
        label=planned.label,
        loss=LOSSES[recipe.loss.name],
        network=f"ResNet-{recipe.model.depth} of width {recipe.model.width:g} at "
        f"{recipe.data.image_size} pixels",
        images=result.images,
        categories=result.categories,
        parameters=result.parameters,
        epochs=result.epochs,
        batch_size=recipe.data.batch_size,
        seconds=round(result.seconds, 1),
        images_per_second=result.images_per_second,
        history=[
            {key: line[key] for key in ("step", "epoch", "loss", "learning_rate")}
            for line in history
        ],
    )
    summary = (
        f"{round(result.epochs, 1):g} epochs of {result.images:,} images, {result.categories:,} "
        f"categories, {result.images_per_second:,.0f} images/s"
    )
    return Outcome(summary, {"training": run})


def evaluate_networks(
    root: Path, planned: Sequence[PlannedRun], runs: Path, folder: Path, seed: int
) -> Outcome:
    """Measure networks beside predicting frequencies; examples are of the first one."""
    db = Database.open(root)
    models = [load_model(runs / run.name) for run in planned]
    columns, baseline = [], {}
    for run, model in zip(planned, models, strict=True):
        positives = run.recipe.evaluation.minimum_positives
        report = evaluate_database(model, db, minimum_positives=positives)
        columns.append(MetricColumn(run.label, report.model.summary()))
        baseline = report.baseline.summary()
    columns.append(MetricColumn("frequencies", baseline, baseline=True))
    examples = show_examples(models[0], db, EXAMPLES, seed, folder)
    scores = ", ".join(f"{c.label} {c.measures['map_macro']:.4f}" for c in columns)
    return Outcome(f"macro mAP: {scores}", {"metrics": columns, "examples": examples})


def probe_networks(
    planned: Sequence[PlannedRun], runs: Path, photos: Path, name: str, seed: int
) -> Outcome:
    """Probe networks, and the first one's architecture with random weights, on other classes."""
    folders = {run.label: str(runs / run.name) for run in planned}
    folders["untrained"] = f"untrained:{runs / planned[0].name}"
    models = {label: load_model(spec) for label, spec in folders.items()}
    report = probe_folder(list(models.values()), photos, IMAGES_PER_CLASS, SPLITS, seed)
    results = {label: report.results[model.name] for label, model in models.items()}
    rows = [ProbeRow(label, r.per_split, r.mean, r.deviation) for label, r in results.items()]
    any_result = results["untrained"]
    probe = Probe(name, IMAGES_PER_CLASS, any_result.num_classes, any_result.num_test, rows)
    scores = ", ".join(f"{row.label} {row.mean:.1%}" for row in rows)
    return Outcome(scores, {"probe": probe})
