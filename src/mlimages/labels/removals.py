"""The list of removals: which images a database leaves out because somebody asked for it.

An entry names an id, a URL or an author, and holds the rows of the images that it means, so that
leaving them out costs one look at a small table. It also holds the other places of these images: an
image that comes back from another list, or into a database that is built anew, is known by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlimages.errors import InputError, nearest
from mlimages.labels.lookup import removed
from mlimages.labels.removal_matching import KINDS, RemovalMatcher, canonical_author, url_variants
from mlimages.progress import track
from mlimages.schemas import REMOVALS
from mlimages.storage import located, write_text
from mlimages.store import Commit, Store

if TYPE_CHECKING:
    from mlimages.storage import AnyPath

_COLUMNS = ["row", "id", "uris", "author", "landing_url"]


@dataclass(frozen=True)
class RemovalReport:
    """What changed in the list of removals, and what it means now.

    Attributes:
        added: entries that are new in the list.
        known: of the entries given, those that were in it before.
        undone: entries taken out of it.
        entries: in the list now.
        images: images that it leaves out, copies of them included.
        in_shards: of these, whose bytes are still in a shard, until `mlimages shards rewrite`.
        matched: (kind, value, number of images) of the entries given.
    """

    added: int
    known: int
    undone: int
    entries: int
    images: int
    in_shards: int
    matched: list[tuple[str, str, int]]


def entry(kind: str, value: str, note: str | None = None) -> dict[str, Any]:
    """A new entry of the list, of this moment.

    Raises:
        InputError: an unknown kind, or an empty value.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}", "not a kind of removal", nearest(kind, KINDS))
    if not value.strip():
        raise InputError(f"removal by {kind}", "is empty", f"name the {kind}")
    now = datetime.now(UTC).replace(microsecond=0)
    return {"kind": kind, "value": value.strip(), "when": now, "note": note, "places": []}


def add_removals(commit: Commit, entries: Sequence[dict[str, Any]]) -> RemovalReport:
    """Put entries into the list, with the images that they mean.

    One that is in it already keeps its time and note. One that means no image stays in the list,
    too: such an image is turned away when it is imported.

    Args:
        commit: the generation in the making.
        entries: see `entry` and `read_list`.
    """
    held = {_key(record): record for record in commit.table("removals").to_pylist()}
    given: dict[tuple[str, str], dict[str, Any]] = {}
    for new in entries:
        key = _key(new)
        one = given.get(key) or held.get(key) or {**new, "places": []}
        given[key] = {**one, "places": [*one["places"], *(new.get("places") or ())]}
    found = list(given.values())
    _find_images(commit, found)
    commit.replace("removals", _table({**held, **given}.values()))
    added = len(given.keys() - held.keys())
    return _report(commit, found, added=added, known=len(given) - added)


def undo_removals(commit: Commit, entries: Sequence[dict[str, Any]]) -> RemovalReport:
    """Take entries out of the list; their images are back, but for bytes that are erased.

    Raises:
        InputError: one of them is not in the list.
    """
    held = {_key(record): record for record in commit.table("removals").to_pylist()}
    undone = []
    for old in entries:
        if _key(old) not in held:
            action = "see the list with: mlimages remove DB"
            raise InputError(f"{old['kind']} {old['value']!r}", "not in the list", action)
        undone.append(held[_key(old)])
    gone = {_key(record) for record in undone}
    commit.replace("removals", _table(r for key, r in held.items() if key not in gone))
    return _report(commit, undone, undone=len(gone))


def describe_removals(store: Store) -> RemovalReport:
    """The list as it is."""
    return _report(store, store.table("removals").to_pylist())


def write_list(store: Store, path: AnyPath | str) -> int:
    """Write the list as JSON lines (kind, value, when, note, places); the number of entries."""
    records = store.table("removals", ["kind", "value", "when", "note", "places"]).to_pylist()
    lines = [json.dumps(r | {"when": r["when"].isoformat()}, ensure_ascii=False) for r in records]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_list(place: AnyPath | str) -> list[dict[str, Any]]:
    """The entries of a file that `write_list` wrote, or of another database.

    In a file that was written by hand, `kind` and `value` are enough.

    Raises:
        InputError: it is neither, or a line is not an entry.
        DatabaseError: the database is damaged.
    """
    path = located(place)
    if path.is_dir():
        return Store.open(path).table("removals").drop_columns(["rows"]).to_pylist()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = f"cannot be read ({error})"
        raise InputError(path, cause, "name a database or an exported list") from None
    return [_parse(line, f"{path}:{i}") for i, line in enumerate(lines, 1) if line.strip()]


def is_removed(store: Store, row: int) -> bool:
    """Whether an image is removed."""
    return bool(store.num_rows("removals")) and bool(removed(store)[row])


def matcher_of(commit: Commit) -> RemovalMatcher:
    """What finds the images of the list among those that are being imported."""
    return RemovalMatcher(commit.table("removals", ["kind", "value", "places"]).to_pylist())


def _find_images(commit: Commit, entries: list[dict[str, Any]]) -> None:
    """Fill in rows and places of entries, partition by partition."""
    matcher = RemovalMatcher(entries)
    rows: list[set[int]] = [set() for _ in entries]
    places = [dict.fromkeys(one["places"]) for one in entries]
    files = commit.manifest.files.get("images", [])
    numbers = sorted({file.partition or 0 for file in files})
    for number in track(numbers, "looking for images", unit="partitions"):
        images = commit.table("images", _COLUMNS, number)
        held = images["row"].to_numpy()
        for positions, removals in matcher.matches(images):
            of_images = images["uris"].take(pa.array(positions)).to_pylist()
            found = held[positions].tolist()
            for removal in removals:
                rows[removal].update(found)
                places[removal].update(dict.fromkeys(uri for uris in of_images for uri in uris))
    for one, its_rows, its_places in zip(entries, rows, places, strict=True):
        one["rows"] = sorted(its_rows)
        one["places"] = [place for place in its_places if place != one["value"]]


def _report(
    generation: Commit | Store,
    entries: Sequence[dict[str, Any]],
    added: int = 0,
    known: int = 0,
    undone: int = 0,
) -> RemovalReport:
    store = Store(generation.root, generation.manifest)
    gone = removed(store)
    packed = [
        store.table("shards/index", ["row"], number)["row"].to_numpy()
        for number in store.partitions("shards/index")
    ]
    return RemovalReport(
        added=added,
        known=known,
        undone=undone,
        entries=store.num_rows("removals"),
        images=int(np.count_nonzero(gone)),
        in_shards=sum(int(np.count_nonzero(gone[rows])) for rows in packed),
        matched=[(one["kind"], one["value"], len(one["rows"])) for one in entries],
    )


def _key(record: dict[str, Any]) -> tuple[str, str]:
    kind, value = record["kind"], record["value"]
    if kind == "author":
        return kind, canonical_author(value)
    return kind, min(url_variants(value)) if kind == "url" else value


def _table(records: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(records), schema=REMOVALS)


def _parse(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        new = entry(str(record["kind"]), str(record["value"]), record.get("note"))
        places = [str(place) for place in record.get("places") or []]
        if record.get("when"):
            when = datetime.fromisoformat(record["when"])
            new["when"] = when if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        cause = f"not an entry of a list ({error})"
        action = 'write {"kind": "id", "url" or "author", "value": "..."}'
        raise InputError(where, cause, action) from None
    return {**new, "places": places}
