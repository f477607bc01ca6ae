"""`mlimages probe`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table
from mlimages.cli.rejects import reject_lines

if TYPE_CHECKING:
    from mlimages.models.probe import ProbeResult


def probe(
    model: Annotated[
        Positional[str],
        tyro.conf.arg(metavar="MODEL", help="A run or checkpoint folder, or efficientnet-lite0."),
    ],
    folder: Annotated[
        Positional[Path], tyro.conf.arg(metavar="FOLDER", help="One folder of photos a class.")
    ],
    *,
    images_per_class: int = 15,
    splits: int = 5,
    seed: int = 0,
    compare: str | None = None,
    batch_size: int = 64,
    device: str = "auto",
    json: Json = False,
) -> None:
    """Linear probe: learn other classes from N photos each, on a network's features.

    All other photos are the test; accuracy is averaged over classes, then over random splits.
    The clutter classes BACKGROUND_Google and 257.clutter are left out.

    Example: mlimages probe efficientnet-lite0 101_ObjectCategories --images-per-class 15

    Args:
        images_per_class: Photos of each class to learn from.
        splits: Random splits.
        seed: Of the splits.
        compare: A second model, probed on the same splits; untrained:MODEL has random weights.
        batch_size: Photos given to the network at a time.
        device: auto, cpu or cuda.
    """
    from mlimages.errors import UsageError
    from mlimages.models.probe import probe_folder
    from mlimages.training.inference import load_model

    if compare == model:
        raise UsageError(f"--compare {compare}", "the same model", f"try untrained:{model}")
    names = [model] if compare is None else [model, compare]
    models = [load_model(name, device) for name in names]
    report = probe_folder(models, folder, images_per_class, splits, seed, batch_size)
    lines = _describe(report.results)
    if report.excluded:
        lines.append(f"left out as clutter: {', '.join(report.excluded)}")
    if report.rejects:
        lines.append(reject_lines(report.rejects, report.files))
    emit(report, json, "\n".join(lines))


def _describe(results: dict[str, ProbeResult]) -> list[str]:
    first = next(iter(results.values()))
    rows: list[list[str]] = []
    for number in range(len(first.per_split)):
        shares = [f"{100 * result.per_split[number]:.1f}" for result in results.values()]
        rows.append([f"split {number + 1}", *shares])
    rows.append(["mean", *(f"{100 * result.mean:.1f}" for result in results.values())])
    rows.append(["deviation", *(f"{100 * result.deviation:.1f}" for result in results.values())])
    lines = [
        f"{first.num_classes:,} classes, {first.images_per_class} photos of each to learn from, "
        f"{first.num_test:,} photos to test on. Mean per-class accuracy in %:",
        "",
        table(rows, ["", *results]),
        "",
    ]
    if len(results) == 2:
        pairs = zip(*(result.per_split for result in results.values()), strict=True)
        better = sum(one > other for one, other in pairs)
        one, other = results
        lines.append(f"{one} is above {other} on {better} of {len(first.per_split)} splits")
    return lines
