"""Arguments that many commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

DatabasePath = Annotated[
    Positional[str],
    tyro.conf.arg(metavar="DB", help="The database: a folder, or a URL such as s3://bucket/db."),
]

PartOption = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="I/N",
        help="Do only this share of the work, such as 2/8; --merge puts all shares together.",
    ),
]
Merge = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="Put together what the runs with --part left."),
]
EngineOption = Annotated[
    Literal["local", "ray"],
    tyro.conf.arg(help="Work on this machine, or on a Ray cluster."),
]
Workers = Annotated[
    int | None,
    tyro.conf.arg(
        help="Tasks at once; by default 1, and with Ray as many as the cluster has processors."
    ),
]
Address = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="HOST:PORT",
        help="Of the Ray cluster; by default RAY_ADDRESS, or the one that this machine is part of.",
    ),
]
