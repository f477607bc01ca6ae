"""Photos of another set among a database's images: nobody should train on what they test on.

Pictures are the same by the rules of the package. What is found can be put aside: it is listed in
the table `leaks`, and nothing selects or counts it any more. Its facts and bytes stay, so that
bringing it back is emptying the table. (A list of removals would be wrong: it erases.)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import InputError, nearest
from mlimages.images.duplicates.exact import readable
from mlimages.images.duplicates.finding import BYTES, EVIDENCE, MD5, PERCEPTUAL
from mlimages.images.duplicates.hashing import read_hashes
from mlimages.images.duplicates.outside import Outside
from mlimages.images.duplicates.perceptual import Closeness, confirm, find_candidates
from mlimages.images.duplicates.search import Hashes
from mlimages.images.shards import ShardReader
from mlimages.labels.lookup import NO_SPLIT, image_ids, split_codes
from mlimages.progress import track
from mlimages.schemas import LEAKS
from mlimages.store import Store

TRAIN = "train"


@dataclass(frozen=True)
class LeaksReport:
    """What was found.

    Attributes:
        images: images of the database that were compared.
        outside: pictures that they were compared with.
        leaked: images of the database that are among those.
        leaked_outside: pictures that are in the database.
        by_evidence: of the leaked images, how many by equal MD5, equal bytes, and looks.
        flat: images and pictures left out of the search by looks: too little is in them.
        unreadable: files that could not be read as pictures.
        other_files: files that are no pictures.
        put_aside: images that are put aside now, by this or an earlier call.
        first: (id, outside, evidence) of the first few.
    """

    images: int
    outside: int
    leaked: int
    leaked_outside: int
    by_evidence: dict[str, int]
    flat: int
    unreadable: int
    other_files: int
    put_aside: int
    first: list[tuple[str, str, str]]


def find_leaks(
    store: Store,
    reader: ShardReader,
    outside: Outside,
    closeness: Closeness,
    split: str = TRAIN,
) -> pa.Table:
    """Images that are also outside, each with the picture that it is most like.

    Args:
        store: the database, its table `hashes` up to date.
        reader: of its shards.
        outside: what it is compared with.
        closeness: how alike pictures must be.
        split: the images that are compared: of this split, or of none.

    Returns:
        schemas.LEAKS, by row.

    Raises:
        DatabaseError: a shard is missing or damaged.
        InputError: no such split; or the radius is out of range, or finds too many pairs.
    """
    wanted = wanted_rows(store, split)
    found: dict[int, tuple] = {}
    for row, place in _equal_md5(store, outside):
        found.setdefault(row, (place, MD5, None, None, None))
    for row, place in _equal_bytes(store, reader, outside):
        found.setdefault(row, (place, BYTES, None, None, None))
    for row, *match in _alike(store, reader, outside, closeness, wanted):
        found.setdefault(row, tuple(match))
    rows = [row for row in sorted(found) if wanted[row]]
    records = []
    for row in rows:
        place, *evidence = found[row]
        values = (row, outside.names[place], *evidence)
        records.append(dict(zip(LEAKS.names, values, strict=True)))
    return pa.Table.from_pylist(records, schema=LEAKS)


def report_leaks(
    store: Store, outside: Outside, leaks: pa.Table, split: str = TRAIN, shown: int = 10
) -> LeaksReport:
    """Counts of what `find_leaks` found, and the first of it."""
    first = leaks.slice(0, shown)
    ids = image_ids(store, first["row"].to_numpy())
    texts = (first["outside"].to_pylist(), first["evidence"].to_pylist())
    flat = len(outside.names) - len(outside.useful) + read_hashes(store).flat
    by = {how: pc.sum(pc.equal(leaks["evidence"], how)).as_py() or 0 for how in EVIDENCE}
    return LeaksReport(
        images=int(wanted_rows(store, split).sum()),
        outside=len(outside.names),
        leaked=leaks.num_rows,
        leaked_outside=len(pc.unique(leaks["outside"])),
        by_evidence=by,
        flat=flat,
        unreadable=len(outside.rejects),
        other_files=outside.other_files,
        put_aside=store.num_rows("leaks"),
        first=list(zip(ids, *texts, strict=True)),
    )


def put_aside(held: pa.Table, leaks: pa.Table) -> pa.Table:
    """schemas.LEAKS of those held already and new ones, each image once, by row."""
    new = leaks.filter(pc.invert(pc.is_in(leaks["row"], held["row"].combine_chunks())))
    return pa.concat_tables([held, new]).sort_by("row")


def wanted_rows(store: Store, split: str) -> NDArray[np.bool_]:
    """bool [images]: those of a split, and of none; raises InputError when there is no such one."""
    names, codes = split_codes(store)
    if split not in names and (names or split != TRAIN):
        raise InputError(split, "no such split in the database", nearest(split, names))
    place = names.index(split) if split in names else NO_SPLIT
    return (codes == NO_SPLIT) | (codes == place)


def _equal_md5(store: Store, outside: Outside) -> list[tuple[int, int]]:
    """(row, place) of images whose sources give the MD5 of a picture outside."""
    places = {md5: place for place, md5 in reversed(list(enumerate(outside.md5)))}
    found = []
    known = pa.array(list(places), pa.string())
    numbers = store.partitions("images") if places else []
    for number in track(numbers, "comparing checksums", unit="partitions"):
        table = store.table("images", ["row", "md5"], number, pc.field("md5").isin(known))
        pairs = zip(table["row"].to_pylist(), table["md5"].to_pylist(), strict=True)
        found += [(row, places[md5]) for row, md5 in pairs]
    return found


def _equal_bytes(store: Store, reader: ShardReader, outside: Outside) -> list[tuple[int, int]]:
    """(row, place) of images whose bytes are those of a picture outside."""
    index = readable(store, reader)
    lengths = index["length"].to_numpy().astype(np.uint64)
    prints = (lengths << np.uint64(32)) ^ index["crc32"].to_numpy().astype(np.uint64)
    order = np.argsort(outside.prints, kind="stable")
    ordered = outside.prints[order]
    near = np.searchsorted(ordered, prints).clip(max=len(ordered) - 1)
    found = []
    for position in np.flatnonzero(ordered[near] == prints).tolist():
        row = index["row"][position].as_py()
        digest = hashlib.sha256(reader.read(row)).digest()
        for place in order[near[position] :].tolist():
            if outside.prints[place] != prints[position]:
                break
            if hashlib.sha256(outside.read(place)).digest() == digest:
                found.append((row, place))
                break
    return found


def _alike(
    store: Store,
    reader: ShardReader,
    outside: Outside,
    closeness: Closeness,
    wanted: NDArray[np.bool_],
) -> list[tuple[int, int, str, int, float, str | None]]:
    """(row, place, evidence, distance, likeness, position), the most alike first."""
    hashed = read_hashes(store)
    chosen, useful = wanted[hashed.rows], outside.useful
    rows = hashed.rows[chosen]
    ours = Hashes(hashed.perceptual[chosen], hashed.gradient[chosen])
    theirs = Hashes(outside.perceptual[useful], outside.gradient[useful])
    # All copies of a picture are to be found, however many.
    limits = replace(closeness.limits(len(rows)), most=max(1, len(rows)))
    candidates = find_candidates(theirs, closeness, limits, ours)
    confirmed = confirm(
        candidates,
        lambda place: outside.read(int(useful[place])),
        lambda place: reader.read(int(rows[place])),
        closeness,
    )
    names = (None, *closeness.positions)
    order = np.argsort(-confirmed.likeness, kind="stable")
    return [
        (
            int(rows[confirmed.pairs[1, pair]]),
            int(useful[confirmed.pairs[0, pair]]),
            PERCEPTUAL,
            int(confirmed.distance[pair]),
            float(confirmed.likeness[pair]),
            names[confirmed.position[pair]],
        )
        for pair in order.tolist()
    ]
