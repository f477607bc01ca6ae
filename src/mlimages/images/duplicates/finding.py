"""Finding an image's copies in a database, and what was found: see the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlimages.images.duplicates.exact import equal_bytes, equal_md5, join
from mlimages.images.duplicates.hashing import read_hashes
from mlimages.images.duplicates.perceptual import (
    Closeness,
    clusters,
    confirm,
    find_candidates,
)
from mlimages.images.duplicates.ranking import ranks
from mlimages.images.duplicates.search import Hashes
from mlimages.images.shards import ShardReader
from mlimages.schemas import DUPLICATES
from mlimages.store import Store

MD5, BYTES, PERCEPTUAL = "md5", "bytes", "perceptual"
EVIDENCE = (MD5, BYTES, PERCEPTUAL)


@dataclass(frozen=True)
class Searched:
    """What the search by looks went through.

    Attributes:
        hashed: images whose hashes were compared.
        flat: packed images left out: too little is in the picture.
        radius: bits in which one hash may differ.
        candidates: pairs of images whose hashes are close.
        confirmed: of these, pairs that show the same photo.
        crowded: how often an image had more close ones of one kind than are compared.
    """

    hashed: int
    flat: int
    radius: int
    candidates: int
    confirmed: int
    crowded: int


def find_duplicates(
    store: Store, reader: ShardReader | None, closeness: Closeness | None = None
) -> tuple[pa.Table, Searched | None]:
    """Every image that another one stands for, by row.

    Args:
        store: the database; to search by looks, its table `hashes` must be up to date.
        reader: of its shards; None compares MD5 only.
        closeness: how alike images must be; None compares MD5 and bytes only.

    Returns:
        schemas.DUPLICATES, and what the search by looks went through.

    Raises:
        DatabaseError: a shard is missing or damaged.
        InputError: the radius is out of range, or finds too many pairs.
    """
    places = ranks(store)
    found = _exact(store, reader, places)
    searched = None
    if closeness is not None and reader is not None:
        searched = _add_perceptual(store, reader, closeness, places, found)
    rows = sorted(found)
    for row in rows:  # the image that stands for it may itself be a copy now
        while found[row]["kept"] in found:
            found[row] |= {
                name: found[found[row]["kept"]][name]
                for name in ("kept", "distance", "likeness", "position")
            }
    return pa.Table.from_pylist([found[row] for row in rows], schema=DUPLICATES), searched


def _exact(store: Store, reader: ShardReader | None, places: NDArray[np.int32]) -> dict[int, dict]:
    """Records of schemas.DUPLICATES by row, of images with the same bytes."""
    links = [(pair, MD5) for pair in equal_md5(store)]
    if reader is not None:
        links += [(pair, BYTES) for pair in equal_bytes(store, reader)]
    evidence: dict[int, str] = {}
    for pair, how in links:
        for row in pair:
            evidence.setdefault(row, how)
    found = {}
    for group in join(pair for pair, _ in links):
        kept = min(group, key=lambda row: places[row])
        for row in group:
            if row != kept:
                found[row] = _record(row, kept, evidence[row])
    return found


def _add_perceptual(
    store: Store,
    reader: ShardReader,
    closeness: Closeness,
    places: NDArray[np.int32],
    found: dict[int, dict],
) -> Searched:
    """Add the images that look like a better one."""
    hashed = read_hashes(store)
    chosen = ~np.isin(hashed.rows, np.fromiter(found, np.int32, len(found)))
    order = np.flatnonzero(chosen)
    order = order[np.argsort(places[hashed.rows[order]])]
    rows = hashed.rows[order]
    limits = closeness.limits(len(rows))
    hashes = Hashes(hashed.perceptual[order], hashed.gradient[order])
    candidates = find_candidates(hashes, closeness, limits)

    def read(place: int) -> bytes:
        return reader.read(int(rows[place]))

    confirmed = confirm(candidates, read, read, closeness)
    names = (None, *closeness.positions)
    for member in clusters(confirmed):
        row, kept = int(rows[member.place]), int(rows[member.kept])
        found[row] = _record(row, kept, PERCEPTUAL) | {
            "distance": member.distance,
            "likeness": member.likeness,
            "position": names[member.position],
        }
    return Searched(
        len(rows),
        hashed.flat,
        limits.radius,
        candidates.pairs.shape[1],
        confirmed.pairs.shape[1],
        candidates.crowded,
    )


def _record(row: int, kept: int, evidence: str) -> dict:
    names = ("distance", "likeness", "position")
    return {"row": row, "kept": kept, "evidence": evidence} | dict.fromkeys(names)
