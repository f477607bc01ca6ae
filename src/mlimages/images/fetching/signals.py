"""What a host says about the use of its pictures: X-Robots-Tag and the TDM Reservation Protocol.

X-Robots-Tag as the search engines document it (a list of rules, optionally for one named crawler);
TDM-Reservation as in the W3C community group's report of 2024: a header, or a file for the host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Each says that a picture is not to be learned from or not to be collected.
REFUSING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none", "noml"})
# Rules with a value: what stands before their colon names no crawler.
_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_AGENT = re.compile(r"\s*([A-Za-z0-9_.\-]+|\*)\s*:\s*(.*)", re.DOTALL)
_DATE_FORMATS = ("%d %b %Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d", "%A, %d-%b-%y %H:%M:%S")


@dataclass(frozen=True)
class Signals:
    """What was said, as recorded, and whether it refuses the use of the picture."""

    said: tuple[str, ...] = ()
    refused: bool = False


NO_SIGNALS = Signals()


def header_signals(
    robots_tags: Sequence[str], reservations: Sequence[str], agent: str, now: datetime
) -> Signals:
    """Judge the X-Robots-Tag and TDM-Reservation headers of one answer.

    Args:
        robots_tags: values of X-Robots-Tag, one a header line.
        reservations: values of TDM-Reservation.
        agent: our product token; rules for another crawler do not count.
        now: with time zone; for `unavailable_after`.
    """
    if not robots_tags and not reservations:
        return NO_SIGNALS
    rules = [rule for tag in robots_tags for rule in _rules(tag, agent)]
    refused = any(rule in REFUSING or _is_past(rule, now) for rule in rules)
    said = [f"x-robots-tag: {rule}" for rule in dict.fromkeys(rules)]
    for value in dict.fromkeys(value.strip() for value in reservations):
        said.append(f"tdm-reservation: {value}")
        refused = refused or value == "1"
    return Signals(tuple(said), refused)


def _rules(tag: str, agent: str) -> Iterable[str]:
    """The rules of one header line that hold for us, in lower case."""
    ours = True
    parts = tag.split(",")
    for position, part in enumerate(parts):
        rule = part.strip()
        found = _AGENT.fullmatch(rule)
        if found and found[1].lower() not in _WITH_VALUE:
            ours = found[1].lower() in ("*", agent.lower())
            rule = found[2].strip()
        if rule.lower().startswith("unavailable_after"):
            # RFC 850 and RFC 822 dates have a comma behind the day of the week.
            following = parts[position + 1].strip() if position + 1 < len(parts) else ""
            if following[:1].isdigit():
                rule = f"{rule}, {following}"
        if ours and rule:
            yield rule.lower()


def _is_past(rule: str, now: datetime) -> bool:
    """Whether the rule is an `unavailable_after` whose time has come; unreadable dates have not."""
    name, _, text = rule.partition(":")
    if name.strip() != "unavailable_after":
        return False
    when = _date(text.strip())
    return when is not None and when <= now


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        found = None
    without_zone = re.sub(r"\s+[a-z]{1,5}$", "", text, flags=re.IGNORECASE)
    for pattern in _DATE_FORMATS if found is None else ():
        try:
            found = datetime.strptime(without_zone.upper(), pattern)
            break
        except ValueError:
            continue
    if found is None:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Reservations:
    """A host's /.well-known/tdmrep.json: rules of path pattern and reservation, in order."""

    rules: tuple[tuple[str, int], ...] = ()

    def of(self, target: str) -> int | None:
        """1 or 0 by the first rule whose pattern matches path and query; None without one."""
        for location, reservation in self.rules:
            if _matches(location, target):
                return reservation
        return None


NO_RESERVATIONS = Reservations()


def parse_reservations(data: bytes) -> Reservations:
    """Read a tdmrep.json; entries that are none are left out, and a file that is none is empty."""
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        return NO_RESERVATIONS
    rules = []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        location, reservation = entry.get("location"), entry.get("tdm-reservation")
        if isinstance(location, str) and str(reservation) in ("0", "1"):
            rules.append((location, int(str(reservation))))
    return Reservations(tuple(rules))


def _matches(location: str, target: str) -> bool:
    """Match as in robots.txt: `*` is any text, `$` at the end is the end, otherwise a prefix.

    By searching from left to right, which is enough and takes no exponential time, whatever the
    pattern.
    """
    anchored = location.endswith("$")
    first, *others = location.removesuffix("$").split("*")
    if not target.startswith(first):
        return False
    position = len(first)
    for part in others[:-1] if anchored else others:
        position = target.find(part, position)
        if position < 0:
            return False
        position += len(part)
    if not anchored:
        return True
    if not others:
        return position == len(target)
    return target.endswith(others[-1]) and len(target) - len(others[-1]) >= position
