"""`mlimages convert from-tensorflow` and `to-tensorflow`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit

SHOWN = 5


def from_tensorflow(
    prefix: Annotated[
        Positional[Path],
        tyro.conf.arg(
            metavar="PREFIX",
            help="The checkpoint, of PREFIX.index and PREFIX.data-00000-of-00001.",
        ),
    ],
    out: Annotated[Positional[Path], tyro.conf.arg(metavar="OUT", help="A new folder.")],
    *,
    categories: Path | None = None,
    activation: Literal["sigmoid", "softmax"] | None = None,
    json: Json = False,
) -> None:
    """Make a model of a released TensorFlow checkpoint; TensorFlow is not needed.

    The model works wherever a run does: tag, features, predict, probe. Nothing of the checkpoint is
    ever executed, and every tensor is held against its checksum.

    Example: mlimages convert from-tensorflow ckpt-resnet101-mlimages models/mlimages

    Args:
        categories: Keys of its outputs, one a line; by default those of the released networks.
        activation: sigmoid for many tags an image, softmax for one; softmax for 1,000 outputs.
    """
    from mlimages.convert.tensorflow import from_tensorflow as convert
    from mlimages.errors import InputError
    from mlimages.taxonomy.categories import released_taxonomy
    from mlimages.taxonomy.packaged import read_lines

    if out.exists():
        raise InputError(out, "exists already", "choose a new folder")
    keys = None if categories is None else read_lines(categories, "a list of category keys")
    report = convert(prefix, out, released_taxonomy(), keys, activation)
    left = ", ".join(report.left_out[:SHOWN]) + (" ..." if len(report.left_out) > SHOWN else "")
    lines = [
        f"ResNet-{report.depth}, {report.outputs:,} outputs, step {report.step:,}: {report.folder}",
        f"{report.found:,} tensors = {report.used:,} of the network + {report.momentum:,} momenta "
        f"+ {len(report.left_out):,} left out" + (f" ({left})" if left else ""),
    ]
    emit(report, json, "\n".join(lines))


def to_tensorflow(
    model: Annotated[
        Positional[Path],
        tyro.conf.arg(
            metavar="MODEL",
            help="A run or a checkpoint of the paper's network (depth 50, 101 or 152).",
        ),
    ],
    prefix: Annotated[
        Positional[Path],
        tyro.conf.arg(metavar="PREFIX", help="Of the files to write, PREFIX.index and another."),
    ],
    *,
    json: Json = False,
) -> None:
    """Write a ResNet as a TensorFlow checkpoint, with the released code's names of its tensors.

    Example: mlimages convert to-tensorflow runs/paper ckpt-mine
    """
    from mlimages.convert.tensorflow import to_tensorflow as convert

    written = convert(model, prefix)
    text = f"{written:,} tensors in {prefix}.index and {prefix}.data-00000-of-00001"
    emit({"tensors": written, "prefix": prefix}, json, text)
