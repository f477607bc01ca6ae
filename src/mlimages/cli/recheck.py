"""`mlimages recheck`"""

from __future__ import annotations

from typing import Annotated

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table
from mlimages.images.fetching.settings import CONCURRENCY

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def recheck(
    db: DatabasePath,
    *,
    contact: str | None = None,
    concurrency: int = CONCURRENCY,
    a_host: int = 32,
    host_rate: float | None = None,
    allow_private_addresses: Flag = False,
    json: Json = False,
) -> None:
    """Ask hosts again what they say of fetched images, and drop those that opted out since.

    robots.txt, X-Robots-Tag and TDM-Reservation are asked for, and no image is fetched again. A run
    that was interrupted continues where it stopped.

    Example: mlimages recheck DB

    Args:
        contact: A URL or mail address for owners of hosts, in the user agent.
        concurrency: Requests at a time, all hosts together.
        a_host: Greatest number of requests at a time to one host; begun with few.
        host_rate: Greatest number of requests a second to one host; by default no limit.
        allow_private_addresses: Connect to this machine and its network too, on any port: for
            tests.
    """
    from mlimages.cli.network import network_settings
    from mlimages.database import Database
    from mlimages.images.fetching.fetch_settings import FetchSettings

    network = network_settings(contact, concurrency, a_host, host_rate, allow_private_addresses)
    settings = FetchSettings(network=network, concurrency=concurrency)
    report = Database.open(db).recheck(settings)
    lines = [
        f"{report.checked:,} images checked in {report.seconds:,.1f} s; "
        f"{report.dropped:,} opted out since, and were dropped"
    ]
    if report.resting:
        lines.append(f"{report.resting:,} were not asked about: their hosts rest; run it later")
    if report.states:
        rows = [[entry.state, entry.urls] for entry in report.states]
        lines.append(table(rows, ["now", "URLs"]))
    emit(report, json, "\n".join(lines))
