"""Arguments that many commands take."""

from __future__ import annotations

from typing import Annotated

import tyro
from tyro.conf import Positional

DatabasePath = Annotated[
    Positional[str],
    tyro.conf.arg(metavar="DB", help="The database: a folder, or a URL such as s3://bucket/db."),
]
