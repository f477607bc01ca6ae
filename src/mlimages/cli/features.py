"""`mlimages features`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit
from mlimages.cli.rejects import reject_lines


def features(
    model: Annotated[
        Positional[str],
        tyro.conf.arg(
            metavar="MODEL",
            help="A run or checkpoint folder, or efficientnet-lite0; "
            "untrained: in front gives it random weights.",
        ),
    ],
    photos: Annotated[
        Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="PHOTO", help="Photos, or folders of them (searched recursively)."),
    ] = (),
    *,
    out: Path,
    list_file: Annotated[Path | None, tyro.conf.arg(name="list")] = None,
    root: Path | None = None,
    batch_size: int = 64,
    device: str = "auto",
    json: Json = False,
) -> None:
    """Write the feature vector of every photo, the network's view before its classifier.

    Files that cannot be read are named and counted; it fails when none can be.

    Example: mlimages features efficientnet-lite0 photos/ --out features.parquet

    Args:
        out: A .parquet file (columns path, feature), or a .npz file (arrays of the same names).
        list_file: A list of more photos: one path a line, with or without a label number.
        root: Where the list's relative paths begin; by default the folder of the list.
        batch_size: Photos given to the network at a time.
        device: auto, cpu or cuda.
    """
    from mlimages.errors import UsageError
    from mlimages.images.photos import find_photos, read_photo_list
    from mlimages.tagging.features import check_format, write_features
    from mlimages.tagging.loading import load_model

    check_format(out)
    files = find_photos(photos)
    if list_file is not None:
        files += read_photo_list(list_file, root)
    if not files:
        raise UsageError(
            "mlimages features", "no photos given", "name photos, a folder or a --list"
        )
    report = write_features(load_model(model, device), files, out, batch_size)
    text = f"{report.photos:,} photos, {report.dimension:,} numbers each: {report.output}"
    if report.rejects:
        text += "\n" + reject_lines(report.rejects, len(files))
    emit(report, json, text)
