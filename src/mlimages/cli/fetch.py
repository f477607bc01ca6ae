"""`mlimages fetch`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tyro

from mlimages.cli.arguments import Address, DatabasePath, EngineOption, Merge, PartOption
from mlimages.cli.dividing import chosen_part, emit_part
from mlimages.cli.image_form import AS_BEFORE, Flag, ImageForm
from mlimages.cli.output import Json, emit, table
from mlimages.errors import UsageError
from mlimages.images.fetching.settings import CONCURRENCY

if TYPE_CHECKING:
    from mlimages.images.fetching.plan import FetchPlan
    from mlimages.images.fetching.report import FetchReport


def fetch(
    db: DatabasePath,
    *,
    plan: Flag = False,
    retry: Flag = False,
    attempts: int = 3,
    contact: str | None = None,
    concurrency: int = CONCURRENCY,
    a_host: int = 32,
    host_rate: float | None = None,
    seconds_an_image: float = 60.0,
    patience: float = 600.0,
    placeholder_copies: int = 10,
    ignore_robots: Flag = False,
    ignore_opt_out: Flag = False,
    allow_private_addresses: Flag = False,
    workers: int | None = None,
    engine: EngineOption = "local",
    address: Address = None,
    part: PartOption = None,
    parts_at_once: int | None = None,
    merge: Merge = False,
    include_sensitive: Flag = False,
    json: Json = False,
    form: tyro.conf.OmitArgPrefixes[ImageForm] = AS_BEFORE,
) -> None:
    """Fetch images by their addresses into shards, and say what became of each address.

    It continues where it stopped, be it by Ctrl-C, a kill or a power cut. Hosts are asked
    courteously: robots.txt and opt-out signals are honoured, and who complains is asked less.

    Example: mlimages fetch DB --contact https://example.org/our-project

    Args:
        plan: Only tell bytes, hours and hosts beforehand; nothing is fetched.
        retry: Try also those again that failed too often before, where that may have passed.
        attempts: Tries of an address whose failure may pass.
        contact: A URL or mail address for owners of hosts, in the user agent.
        concurrency: Requests at a time, all hosts together.
        a_host: Greatest number of requests at a time to one host; begun with few.
        host_rate: Greatest number of requests a second to one host; by default no limit.
        seconds_an_image: That one address may take in all.
        patience: Seconds to wait, in all, for hosts that asked to be left alone.
        placeholder_copies: Addresses of one host from which on the same bytes are a placeholder.
        ignore_robots: Fetch also what robots.txt forbids: only from hosts that allowed it to you.
        ignore_opt_out: Fetch also what has opted out: only what you have a right to.
        allow_private_addresses: Connect to this machine and its network too, on any port: for
            tests.
        workers: Processes that decode, by default one a core; with Ray, tasks at once.
        parts_at_once: Parts that work at the same time, for their share of a host's limit; by
            default all.
        include_sensitive: Show sensitive categories too.
    """
    from mlimages.cli.network import network_settings
    from mlimages.database import Database
    from mlimages.images.fetching.fetch_settings import FetchSettings
    from mlimages.images.packing.settings import altered, recorded

    network = network_settings(
        contact,
        concurrency,
        a_host,
        host_rate,
        allow_private_addresses,
        total_seconds=seconds_an_image,
        robots=not ignore_robots,
        opt_out=not ignore_opt_out,
    )
    settings = FetchSettings(
        network=network,
        attempts=attempts,
        retry=retry,
        concurrency=concurrency,
        patience=patience,
        placeholder_copies=placeholder_copies,
    )
    chosen, command = chosen_part(part, merge), f"mlimages fetch {db}"
    if chosen is not None and engine != "local":
        raise UsageError("--part", "works on the machine it runs on", "leave --engine out")
    database = Database.open(db)
    if plan:
        planned = database.plan_fetch(settings)
        emit(planned, json, _plan_text(planned))
        return
    pack = altered(recorded(database.store), form.images(), shard_bytes=form.shard_bytes)
    if chosen is not None:
        options = {"workers": workers, "at_once": parts_at_once}
        emit_part(database.parts.fetch(chosen, settings, pack=pack, **options), json, command)
        return
    if merge:
        report = database.parts.merge_fetch(settings, include_sensitive)
    else:
        report = database.fetch(
            settings,
            pack=pack,
            workers=workers,
            engine=engine,
            address=address,
            include_sensitive=include_sensitive,
        )
    emit(report, json, _report_text(report))


def _plan_text(plan: FetchPlan) -> str:
    known = f"size known for {plan.bytes_known:,}, else {plan.typical_bytes:,} bytes each"
    rate = "the rate of the last run" if plan.measured else "a typical rate (none measured)"
    lines = [
        f"{plan.images:,} images to fetch at {plan.addresses:,} addresses on "
        f"{plan.num_hosts:,} hosts",
        f"about {plan.bytes / 1e9:,.2f} GB ({known})",
        f"about {plan.hours:,.2f} hours, at {rate}",
    ]
    if plan.hosts:
        rows = [[host.host, host.images, round(host.hours, 2)] for host in plan.hosts]
        lines.append(table(rows, ["host", "images", "hours"]))
    if plan.num_hosts > len(plan.hosts):
        lines.append(f"... and {plan.num_hosts - len(plan.hosts):,} hosts more")
    return "\n".join(lines)


def _report_text(report: FetchReport) -> str:
    from mlimages.cli.ledger import ledger_text, survivors_text

    rate = report.fetched / max(report.seconds, 1e-9)
    parts = [
        f"{report.fetched:,} images fetched, {report.bytes / 1e6:,.1f} MB in "
        f"{report.seconds:,.1f} s ({rate:,.0f} a second)",
        ledger_text(report.ledger),
    ]
    if report.survivors is not None:
        parts.append(survivors_text(report.survivors))
    if report.ledger.images.waiting:
        parts.append("what was not tried yet: mlimages fetch DB")
    elif report.ledger.images.retryable:
        parts.append("what may have passed: mlimages fetch DB --retry")
    return "\n\n".join(parts)
