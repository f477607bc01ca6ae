"""`mlimages train`"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit

if TYPE_CHECKING:
    from mlimages.training.run import TrainingResult


def train(
    db: DatabasePath,
    *,
    out: Path,
    recipe: str | None = None,
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")] = (),
    split: str | None = None,
    subset: Literal["all", "multi", "single"] | None = None,
    device: str | None = None,
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Train a network on a database, as a recipe says.

    Ctrl-C saves the run; --resume continues it exactly, also after a crash.

    Example: mlimages train DB --recipe photos --out runs/photos --set schedule.epochs=5

    Args:
        out: Folder of the run.
        recipe: Name of a recipe (paper, released, photos, photos-bce, scenes) or a .toml file.
        set: Settings that differ from the recipe, such as optimizer.learning_rate=0.02.
        split: Split to train on; the recipe's when left out ("train").
        subset: Images of multi-label sources, of single-label sources, or all.
        device: auto, cpu or cuda.
        resume: Continue the run in --out, with its own recipe unless one is named.
    """
    from mlimages.database import Database
    from mlimages.errors import UsageError
    from mlimages.training import loop
    from mlimages.training.recipe import find_recipe
    from mlimages.training.run import saved_recipe

    chosen = find_recipe(recipe) if recipe else saved_recipe(out) if resume else None
    if chosen is None:
        raise UsageError(
            "mlimages train", "no recipe", "add --recipe photos, or see mlimages train --help"
        )
    options = {"data.split": split, "data.part": subset, "hardware.device": device}
    # Quoted: a split may be called 2012 or true.
    changes = [
        f"{key}={dumps(value, ensure_ascii=False)}"
        for key, value in options.items()
        if value is not None
    ]
    result = loop.train(Database.open(db), chosen.override(*set, *changes), out, resume)
    emit(result, json, "\n".join(_text(result)))


def _text(result: TrainingResult) -> list[str]:
    lines = [
        f"{result.recipe}: {result.steps:,} updates, {result.epochs:g} epochs of "
        f"{result.images:,} images, {result.categories:,} categories",
        f"{result.images_per_second:,.0f} images/s, {result.data_wait:.1%} waiting for data; "
        f"saved in {result.checkpoint}",
    ]
    if result.broken:
        lines.append(f"{len(result.broken)} broken images were replaced: {result.broken[0]} ...")
    if result.evaluation:
        model, baseline = result.evaluation["model"], result.evaluation["baseline"]
        if model["map_macro"] is not None:
            lines.append(
                f"macro mAP {model['map_macro']:.4f} (predicting frequencies: "
                f"{baseline['map_macro']:.4f}) over {model['categories']} categories with "
                f"{model['minimum_positives']} or more positives"
            )
    return lines
