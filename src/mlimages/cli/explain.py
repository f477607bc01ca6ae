"""`mlimages explain`"""

from __future__ import annotations

from typing import Annotated

import tyro
from tyro.conf import Positional

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit


def explain(
    db: DatabasePath,
    image: Annotated[Positional[str], tyro.conf.arg(metavar="IMAGE", help="The image's id.")],
    *,
    json: Json = False,
) -> None:
    """Say why an image has each of its tags: facts, categories below, and what co-occurs.

    Example: mlimages explain DB n02084071_1
    """
    from mlimages.database import Database

    explanation = Database.open(db).explain(image)
    emit(explanation, json, "\n".join(explanation.lines()))
