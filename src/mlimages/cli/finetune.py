"""`mlimages finetune`"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit


def finetune(
    backbone: Annotated[
        Positional[str],
        tyro.conf.arg(
            metavar="BACKBONE",
            help="A run or checkpoint folder, efficientnet-lite0, or timm:NAME; untrained: in "
            "front gives it random weights.",
        ),
    ],
    data: Annotated[
        Positional[Path],
        tyro.conf.arg(metavar="DATA", help="One folder of photos a class, or a .csv or .parquet."),
    ],
    *,
    out: Path,
    photos: Path | None = None,
    separator: str | None = None,
    skip_missing: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")] = (),
    device: str = "auto",
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Teach a network your own labels; head, loss and measure follow from the data.

    A table has a column image and a column tags; a column split says which rows are train and
    test, otherwise a fifth is held out. The result works with tag, features and probe.

    Example: mlimages finetune efficientnet-lite0 101_ObjectCategories --out runs/mine

    Args:
        out: Folder of the run.
        photos: Where a table's photos are; by default beside it.
        separator: Between the tags of a row; by default found out.
        skip_missing: Leave out rows without a photo.
        set: Settings that differ from the recipe `own`, such as schedule.epochs=3.
        device: auto, cpu or cuda.
        resume: Continue the run in --out where it was saved.
    """
    import logging

    from mlimages.cli.transfer import describe
    from mlimages.training.distribution import is_first_process
    from mlimages.transfer import own

    changes = (*set, f"hardware.device={dumps(device)}")
    planned = own.plan(backbone, data, changes, photos, skip_missing, separator)
    for line in planned.choices if is_first_process() else ():
        logging.getLogger(__name__).info("%s", line)
    result = own.finetune(planned, out, resume)
    if is_first_process():
        emit({**vars(result), "choices": planned.choices}, json, "\n".join(describe(result)))
