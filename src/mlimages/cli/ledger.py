"""`mlimages ledger`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mlimages.cli.arguments import DatabasePath
from mlimages.cli.output import Json, emit, table

if TYPE_CHECKING:
    from mlimages.images.ledger.report import HostCount, LedgerReport
    from mlimages.images.ledger.survivors import Survivors

SHOWN = 20


def ledger(
    db: DatabasePath,
    *,
    hosts: int = 10,
    categories: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Say what became of every URL: by state, by host, what to do next, and what is lost.

    It can be asked at any time, also while a fetch is running, and is exact for that instant.

    Example: mlimages ledger DB --categories

    Args:
        hosts: Hosts to list.
        categories: Also count each category's images before and after fetching, and name those
            that fell to 100 or fewer, the paper's threshold for training.
        include_sensitive: Also name sensitive categories.
    """
    from mlimages.database import Database

    database = Database.open(db)
    report = database.ledger_report(hosts)
    survivors = database.survivors(include_sensitive=include_sensitive) if categories else None
    text = ledger_text(report) + (f"\n\n{survivors_text(survivors)}" if survivors else "")
    emit({"ledger": report, **({"survivors": survivors} if survivors else {})}, json, text)


def ledger_text(report: LedgerReport) -> str:
    """States, images and hosts, as tables."""
    images = report.images
    states: list[list[Any]] = [
        [s.state, s.urls, "yes" if s.retryable else "", s.advice] for s in report.states
    ]
    parts = [
        f"{report.urls:,} URLs of {report.hosts:,} hosts; {report.in_journal:,} "
        "records in the journal",
        table(states, ["state", "URLs", "again", "what to do"]),
        table(
            [
                ["images", images.images],
                ["  in a shard", images.packed],
                ["  waiting: a URL was not tried", images.waiting],
                ["  can be retried", images.retryable],
                ["  lost: every URL failed for good", images.lost],
                ["  without a URL, not packed", images.without_url],
                ["  removed, or another stands for it", images.left_out],
            ]
        ),
    ]
    if report.by_host:
        parts.append(_hosts("most URLs", report.by_host))
    if report.worst:
        parts.append(_hosts("most failures", report.worst))
    if report.statuses:
        told = ", ".join(f"{status}: {count:,}" for status, count in report.statuses.items())
        parts.append(f"HTTP statuses of failures: {told}")
    return "\n\n".join(parts)


def _hosts(title: str, hosts: list[HostCount]) -> str:
    rows = [
        [h.host, h.urls, h.ok, h.pending, ", ".join(f"{n:,} {s}" for s, n in h.failures.items())]
        for h in hosts
    ]
    return table(rows, [title, "URLs", "ok", "pending", "failed"])


def survivors_text(survivors: Survivors) -> str:
    """What became of the categories, as tables."""
    of = f"of split {survivors.split}" if survivors.split else "of all splits"
    rows = [
        [f"images {of}", survivors.listed, survivors.packed],
        ["categories with over 100", survivors.trainable_listed, survivors.trainable_packed],
    ]
    parts = [table(rows, ["", "listed", "in shards"])]
    if survivors.fell:
        fell = [[c.key, c.name, c.listed, c.packed] for c in survivors.fell[:SHOWN]]
        parts.append(table(fell, ["fell to 100 or fewer", "", "listed", "in shards"]))
    more = len(survivors.fell) - SHOWN
    if more > 0:
        parts.append(f"and {more:,} more; all are in --json")
    if survivors.hidden_sensitive:
        parts.append(f"{survivors.hidden_sensitive:,} sensitive ones are not shown")
    return "\n\n".join(parts)
