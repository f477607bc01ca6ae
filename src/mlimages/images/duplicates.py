"""Images that are stored more than once, under several ids or synsets: found by their bytes.

Two images are the same when their sources give both the same MD5 (and no different length), or when
both are packed and their bytes are equal; length and CRC-32 tell which ones are worth comparing.
One image of each group is kept: the largest in pixels, then the one of most sources, then the
lowest row. It gets what sources said of the others, as facts of kind `duplicate`; the others keep
their own facts, and nothing counts or selects them. Nothing is removed, so undoing is exact.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.images.shards import ShardReader
from mlimages.labels.lookup import image_records
from mlimages.progress import track
from mlimages.schemas import DUPLICATES, FACTS, IMAGES
from mlimages.store import Commit, Store

MD5, BYTES = "md5", "bytes"
KIND = "duplicate"


@dataclass(frozen=True)
class DuplicatesReport:
    """What was found; images = images_left + merged_away.

    Attributes:
        images: all images.
        images_left: images that are counted and selected.
        groups: images that are stored more than once.
        merged_away: images that another one stands for.
        by_evidence: of these, how many by equal MD5 and how many by equal bytes.
        facts_added: facts of kind `duplicate`.
        first_groups: ids of the first few groups, the kept one first.
    """

    images: int
    images_left: int
    groups: int
    merged_away: int
    by_evidence: dict[str, int]
    facts_added: int
    first_groups: list[list[str]]


def find_duplicates(store: Store, reader: ShardReader | None) -> pa.Table:
    """schemas.DUPLICATES: every image that another one stands for, by row.

    Args:
        store: the database.
        reader: of its shards; None compares MD5 only.

    Raises:
        DatabaseError: a shard is missing or damaged.
    """
    links: list[tuple[int, int, str]] = []
    if "md5" in IMAGES.names:
        links += [(a, b, MD5) for a, b in _equal_md5(store)]
    if reader is not None:
        links += [(a, b, BYTES) for a, b in _equal_bytes(store, reader)]
    groups = _join(links)
    best = _best_of(store, groups)
    evidence: dict[int, str] = {}
    for first, second, how in links:
        evidence.setdefault(first, how)
        evidence.setdefault(second, how)
    kept_for = {
        row: kept for kept, group in zip(best, groups, strict=True) for row in group if row != kept
    }
    rows = sorted(kept_for)
    columns = (rows, [kept_for[row] for row in rows], [evidence[row] for row in rows])
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, DUPLICATES, strict=True)], schema=DUPLICATES
    )


def merge_duplicates(commit: Commit, duplicates: pa.Table) -> int:
    """Put a table of duplicates, and the facts that follow, in place of those before.

    Args:
        commit: the generation in the making.
        duplicates: schemas.DUPLICATES; an empty one undoes.

    Returns:
        The number of facts added to images that stand for others.
    """
    size = commit.manifest.partition_rows
    rows = duplicates["row"].to_numpy()
    kept = duplicates["kept"].to_numpy()
    numbers = sorted({entry.partition or 0 for entry in commit.manifest.files.get("facts", [])})
    copied = [_copies(commit, number, rows, kept) for number in numbers]
    copies = pa.concat_tables(copied) if copied else FACTS.empty_table()
    places = copies["row"].to_numpy() // size
    added = 0
    for number in sorted({*numbers, *np.unique(places).tolist()}):
        facts = commit.table("facts", partition=number)
        own = facts.filter(pc.not_equal(facts["kind"], KIND))
        new = _unsaid(own, copies.filter(pa.array(places == number)))
        added += new.num_rows
        if own.num_rows < facts.num_rows:
            commit.replace("facts", pa.concat_tables([own, new]), number)
        elif new.num_rows:
            commit.append("facts", new, number)
    commit.replace("duplicates", duplicates)
    return added


def report_duplicates(
    store: Store, duplicates: pa.Table, facts_added: int, shown: int = 10
) -> DuplicatesReport:
    """Counts, and the ids of the first groups."""
    members: dict[int, list[int]] = defaultdict(list)
    for record in duplicates.to_pylist():
        members[record["kept"]].append(record["row"])
    first = [[kept, *members[kept]] for kept in sorted(members)[:shown]]
    records = image_records(store, (row for group in first for row in group), ["id"])
    images = store.num_rows("images")
    evidence = {how: pc.sum(pc.equal(duplicates["evidence"], how)).as_py() for how in (MD5, BYTES)}
    return DuplicatesReport(
        images=images,
        images_left=images - duplicates.num_rows,
        groups=len(members),
        merged_away=duplicates.num_rows,
        by_evidence={how: count or 0 for how, count in evidence.items()},
        facts_added=facts_added,
        first_groups=[[records[row]["id"] for row in group] for group in first],
    )


def _equal_md5(store: Store) -> Iterable[tuple[int, int]]:
    """Pairs of rows, neighbours in their group, whose sources give the same MD5."""
    prints, rows = [], []
    for number in track(store.partitions("images"), "reading checksums", unit="partitions"):
        table = store.table("images", ["row", "md5"], number)
        table = table.filter(pc.is_valid(table["md5"]))
        # Eight bytes each tell which texts are worth comparing.
        digests = (
            hashlib.blake2b(text.encode(), digest_size=8).digest()
            for text in table["md5"].to_pylist()
        )
        prints.append(np.frombuffer(b"".join(digests), np.uint64))
        rows.append(table["row"].to_numpy())
    if not rows:
        return
    candidates = _repeated(np.concatenate(prints), np.concatenate(rows))
    columns = ["md5", *(["bytes"] if "bytes" in IMAGES.names else [])]
    records = image_records(store, (row for group in candidates for row in group), columns)
    for group in candidates:
        last: dict[tuple, int] = {}
        for row in group:
            key = (records[row]["md5"], records[row].get("bytes"))
            if key in last:
                yield last[key], row
            last[key] = row


def _equal_bytes(store: Store, reader: ShardReader) -> Iterable[tuple[int, int]]:
    """Pairs of rows, neighbours in their group, whose packed bytes are equal."""
    index = store.table("shards/index", ["row", "length", "crc32"])
    lengths = index["length"].to_numpy().astype(np.uint64)
    prints = (lengths << np.uint64(32)) ^ index["crc32"].to_numpy().astype(np.uint64)
    for group in track(_repeated(prints, index["row"].to_numpy()), "comparing bytes"):
        last: dict[bytes, int] = {}
        for row in group:
            digest = hashlib.sha256(reader.read(row)).digest()
            if digest in last:
                yield last[digest], row
            last[digest] = row


def _repeated(prints: NDArray[np.uint64], rows: NDArray[np.int32]) -> list[list[int]]:
    """Rows of equal prints, for every print that occurs more than once; rows ascend."""
    order = np.lexsort((rows, prints))
    prints, rows = prints[order], rows[order]
    starts = np.flatnonzero(np.concatenate([[True], prints[1:] != prints[:-1]])[: len(prints)])
    ends = np.concatenate([starts[1:], [len(prints)]])
    several = ends - starts > 1
    return [
        rows[start:end].tolist()
        for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True)
    ]


def _join(links: list[tuple[int, int, str]]) -> list[list[int]]:
    """Groups of rows that links connect, each ascending."""
    above: dict[int, int] = {}

    def top(row: int) -> int:
        while above.setdefault(row, row) != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    for first, second, _ in links:
        low, high = sorted((top(first), top(second)))
        above[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for row in sorted(above):
        groups[top(row)].append(row)
    return list(groups.values())


def _best_of(store: Store, groups: list[list[int]]) -> list[int]:
    """The image to keep of each group."""
    rows = [row for group in groups for row in group]
    records = image_records(store, rows, ["width", "height", "sources"])
    index = store.table("shards/index", ["row", "width", "height"])
    packed = index.filter(pc.is_in(index["row"], pa.array(rows, pa.int32()))).to_pylist()
    pixels = {row: (r["width"] or 0) * (r["height"] or 0) for row, r in records.items()}
    pixels |= {r["row"]: r["width"] * r["height"] for r in packed}
    return [
        min(group, key=lambda row: (-pixels[row], -len(records[row]["sources"]), row))
        for group in groups
    ]


def _copies(
    commit: Commit, number: int, rows: NDArray[np.int32], kept: NDArray[np.int32]
) -> pa.Table:
    """What sources said of a partition's duplicates, said of the images that stand for them."""
    size = commit.manifest.partition_rows
    here = rows // size == number
    if not here.any():
        return FACTS.empty_table()
    facts = commit.table("facts", partition=number)
    about = pc.is_in(facts["row"], pa.array(rows[here]))
    said = facts.filter(pc.and_(about, pc.not_equal(facts["kind"], KIND)))
    target = kept[np.searchsorted(rows, said["row"].to_numpy())]
    kinds = pa.array([KIND] * said.num_rows, pa.string())
    said = said.set_column(0, "row", pa.array(target)).set_column(5, "kind", kinds)
    return said.cast(FACTS)


def _unsaid(own: pa.Table, copies: pa.Table) -> pa.Table:
    """Those copies that the image's own facts of the same source do not say; each one once."""
    if copies.num_rows == 0:
        return copies
    keys = ["row", "category", "source", "present"]
    # The most confident of several copies.
    # Sorting and grouping want plain strings.
    copies = copies.set_column(2, "source", copies["source"].cast(pa.string()))
    best = copies.group_by(keys).aggregate([("confidence", "max")])
    best = best.rename_columns([*keys, "confidence"]).sort_by([(key, "ascending") for key in keys])
    own = own.filter(pc.is_in(own["row"], pc.unique(best["row"])))
    said = {tuple(record.values()) for record in own.select(keys).to_pylist()}
    fresh = [tuple(record.values()) not in said for record in best.select(keys).to_pylist()]
    best = best.filter(pa.array(fresh, pa.bool_()))
    kinds = pa.array([KIND] * best.num_rows, pa.string())
    return best.append_column("kind", kinds).select(FACTS.names).cast(FACTS)
