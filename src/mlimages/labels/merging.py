"""Taking readings into the tables of a database: which images are new, and which facts.

An image is known when its id is known and a place of its bytes agrees; when one of the two has no
place at all (a list of tags for images held elsewhere); or when the same source named a URL before
and a local file now. An image whose id is the hash of a place is also known by that place.
The same id at another place is another image, and gets an id from its place. Facts are only ever
added; one that the same source said before is not said twice: importing again changes nothing.

Within one stream an image comes once: a place that an earlier chunk listed is a reject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.background import BackgroundCommit
from mlimages.labels.fact_intake import FactIntake
from mlimages.labels.gains import METADATA, appended, find_gains, first_uris, further_places
from mlimages.labels.held_images import HeldImages
from mlimages.labels.identity import image_id, is_url
from mlimages.labels.reading import Reading
from mlimages.labels.streams import places_of
from mlimages.labels.string_index import hash_function
from mlimages.schemas import IMAGES, READING_REJECTS, SPLITS

NEW, REJECTED = -1, -2  # instead of the row of a known image

# How an image was listed in a stream, as one number: 0 for not at all, JOINED for by its id alone,
# else the hash of its place, of which the lowest bit says whether that is a URI.
_UNSEEN, _JOINED, _BY_URI = np.uint64(0), np.uint64(2), np.uint64(1)
_PLACED = np.uint64(4)
_HASH = ~np.uint64(3)

Rows = NDArray[np.int32]
Listing = NDArray[np.uint64]


@dataclass(frozen=True)
class Taken:
    """What became of the images of one reading; `rejects` are READING_REJECTS."""

    new_images: int
    merged_images: int
    rejects: pa.Table


@dataclass
class _Chunk:
    """The images of a reading, column by column, and what is decided about each."""

    source: str
    ids: pa.Array
    uris: pa.Array
    places: pa.Array
    listing: Listing
    rows: Rows
    names: dict[int, str]  # ids of those whose own is another image's

    def key(self, position: int) -> tuple[str, str | None, str | None]:
        """(id, uri, place) of an image."""
        return tuple(c[position].as_py() for c in (self.ids, self.uris, self.places))  # type: ignore[return-value]

    def other_id(self, position: int) -> str | None:
        """The id of an image when its name is another one's: a hash of its place, if it has one."""
        _, uri, place = self.key(position)
        if place is not None and is_url(place):
            return image_id(place)
        if uri is None and place is None:
            return None
        return image_id(uri if uri is not None else f"{self.source}:{place}")


class Merger:
    """Merges the readings of one stream.

    Args:
        writing: the generation in the making.
        source: that all readings are of.
        spoke_before: whether the database holds facts of it.
        expected: about how many images a reading has.
    """

    def __init__(
        self, writing: BackgroundCommit, source: str, *, spoke_before: bool, expected: int
    ) -> None:
        self._writing, self._source, self._spoke_before = writing, source, spoke_before
        self._held = HeldImages(writing, expected)
        self._complete = self._held.complete
        self._hash = hash_function(expected)
        self.facts = FactIntake(writing, source)
        self._listing: Listing = np.zeros(self._held.count, np.uint64)  # by row
        self._splits: list[pa.Table] = []

    def take(self, reading: Reading) -> Taken:
        """Merge one reading: its images, their splits, and its facts."""
        images = reading.images.combine_chunks()
        chunk = self._chunk(images, reading)
        self._decide(chunk)
        known = np.flatnonzero(chunk.rows >= 0)
        new = np.flatnonzero(chunk.rows == NEW)
        lost = np.flatnonzero(chunk.rows == REJECTED)
        # A fact is looked for among earlier ones only where there may be some.
        may_repeat = np.zeros(len(chunk.rows), bool)
        may_repeat[known] = self._spoke_before | (self._listing[chunk.rows[known]] != _UNSEEN)
        self._gain(images, chunk, known)
        self._append(images, chunk, new)
        self._remember(chunk)
        self.facts.add(reading.facts, chunk.rows, may_repeat)
        for number in range(self._complete, self._held.complete):
            self.facts.write(number)
        self._complete = self._held.complete
        return Taken(len(new), len(known), _reject(reading, chunk, lost))

    def finish(self) -> None:
        """Write what is not yet written."""
        self._held.finish()
        self.facts.flush()
        self._write_splits()

    def _chunk(self, images: pa.Table, reading: Reading) -> _Chunk:
        ids, uris = images["id"].combine_chunks(), images["uri"].combine_chunks()
        places = places_of(reading)
        has_uri = uris.is_valid().to_numpy(zero_copy_only=False)
        has_place = has_uri | places.is_valid().to_numpy(zero_copy_only=False)
        keys = uris if has_uri.all() else places
        if has_uri.any() and not has_uri.all():
            keys = pc.coalesce(uris, places)
        listing = (self._hash(keys) & _HASH) | _PLACED | has_uri.astype(np.uint64)
        listing[~has_place] = _JOINED
        rows = np.full(len(ids), NEW, np.int32)
        return _Chunk(self._source, ids, uris, places, listing, rows, {})

    def _decide(self, chunk: _Chunk) -> None:
        """Fill the chunk's rows; the ones that need no thought all at once."""
        found = self._held.ids.find(chunk.ids)
        hits = np.flatnonzero(found >= 0)
        records: dict[int, dict] = {}  # of images that have a namesake, by position
        if len(hits):
            known = self._held.fetch(found[hits])
            same = pc.equal(known["id"], chunk.ids.take(pa.array(hits)))
            if not pc.all(same).as_py():
                hits, known = hits[same.to_numpy()], known.filter(same)
            plain = self._are_plain(chunk, hits, known)
            chunk.rows[hits[plain]] = known["row"].to_numpy()[plain]
            others = known.filter(pa.array(~plain)).to_pylist()
            records = dict(zip(hits[~plain].tolist(), others, strict=True))
        odd = list(records)
        if len(self._held.places):
            nameless = np.ones(len(chunk.rows), bool)
            nameless[hits] = False
            rest = np.flatnonzero(nameless & ((chunk.listing & _BY_URI) != 0))
            candidates = self._held.places.find(chunk.uris.take(pa.array(rest)))
            odd += rest[candidates >= 0].tolist()
        if odd:
            self._decide_one_by_one(chunk, sorted(odd), records)

    def _are_plain(self, chunk: _Chunk, hits: NDArray, known: pa.Table) -> NDArray[np.bool_]:
        """Which namesakes are the same image at first sight."""
        uris = chunk.uris.take(pa.array(hits))
        first = first_uris(known)
        agrees = pc.or_(pc.or_(uris.is_null(), first.is_null()), pc.equal(uris, first))
        agrees = agrees.fill_null(True).to_numpy(zero_copy_only=False)
        unseen = self._listing[known["row"].to_numpy()] == _UNSEEN
        return (unseen & agrees) | (chunk.listing[hits] == _JOINED)

    def _decide_one_by_one(self, chunk: _Chunk, odd: list[int], namesakes: dict[int, dict]) -> None:
        hashed = {position: chunk.other_id(position) for position in odd}
        by_id = self._held.ids.find(pa.array(hashed.values(), pa.string()))
        by_uri = self._held.places.find(chunk.uris.take(pa.array(odd)))
        rows = np.unique(np.concatenate([by_id, by_uri]))
        records = {r["row"]: r for r in self._held.fetch(rows[rows >= 0]).to_pylist()}
        for position, first, second in zip(odd, by_id.tolist(), by_uri.tolist(), strict=True):
            name, uri, _ = chunk.key(position)
            candidates = [namesakes.get(position)]
            other = records.get(first)
            if other is not None and other["id"] != hashed[position]:
                other = None
            candidates.append(other)
            by_place = records.get(second)
            if by_place is not None and uri in by_place["uris"]:
                candidates.append(by_place)
            chunk.rows[position] = self._row_among(chunk, position, candidates)
            if chunk.rows[position] == NEW and position in namesakes:
                taken = other is not None  # by a third image
                chunk.names[position] = (
                    image_id(f"{name} {hashed[position]}") if taken else hashed[position] or name
                )

    def _row_among(self, chunk: _Chunk, position: int, candidates: list[dict | None]) -> int:
        """The row of the candidate that is the same image, or NEW, or REJECTED."""
        uri = chunk.uris[position].as_py()
        mine = chunk.listing[position]
        for record in filter(None, candidates):
            seen = self._listing[record["row"]]
            if seen not in (_UNSEEN, _JOINED) and mine != _JOINED:
                if seen == mine or (seen ^ mine) & _BY_URI:
                    return REJECTED
            elif _same_place(uri, record["uris"], self._source in record["sources"]):
                return record["row"]
        return NEW

    def _gain(self, images: pa.Table, chunk: _Chunk, known: NDArray) -> None:
        """Give known images what this listing adds to them."""
        while len(known):
            rows = chunk.rows[known]
            once = np.sort(np.unique(rows, return_index=True)[1])
            held = self._held.fetch(rows[once])
            found = images.take(pa.array(known[once]))
            gains = find_gains(held, rows[once], found, self._source)
            if gains.num_rows:
                self._held.gain(gains)
            for positions, places in further_places(found):
                at = rows[once][positions]
                more = found.take(pa.array(positions)).set_column(1, "uri", places)
                self._held.gain(find_gains(self._held.fetch(at), at, more, self._source))
            known = np.delete(known, once)

    def _append(self, images: pa.Table, chunk: _Chunk, new: NDArray) -> None:
        if len(new) == 0:
            return
        chunk.rows[new] = rows = np.arange(
            self._held.count, self._held.count + len(new), dtype=np.int32
        )
        found = images if len(new) == images.num_rows else images.take(pa.array(new))
        ids, uris = found["id"].combine_chunks(), found["uri"].combine_chunks()
        if chunk.names:
            places = np.searchsorted(new, sorted(chunk.names))
            mask = np.zeros(len(new), bool)
            mask[places] = True
            names = [chunk.names[position] for position in sorted(chunk.names)]
            ids = pc.replace_with_mask(ids, pa.array(mask), pa.array(names, pa.string()))
        ends = np.arange(len(new) + 1, dtype=np.int32)
        sources = pa.array([self._source]).take(pa.array(np.zeros(len(new), np.int8)))
        has_uri = uris.is_valid().to_numpy(zero_copy_only=False)
        uri_ends = np.concatenate([[0], np.cumsum(has_uri)]).astype(np.int32)
        lists = pa.ListArray.from_arrays(uri_ends, uris.drop_null())
        for positions, places in further_places(found):
            lists = appended(lists, positions, places)
        columns = {
            "row": pa.array(rows),
            "id": ids,
            "sources": pa.ListArray.from_arrays(ends, sources),
            "uris": lists,
            **{name: found[name] for name in METADATA},
        }
        self._held.append(pa.table(columns, schema=IMAGES))
        self._splits.append(pa.table({"row": pa.array(rows), "split": found["split"]}, SPLITS))
        if sum(table.num_rows for table in self._splits) > 4 * self._writing.partition_rows:
            self._write_splits()

    def _remember(self, chunk: _Chunk) -> None:
        if self._held.count > len(self._listing):
            grown = np.zeros(max(self._held.count, 2 * len(self._listing)), np.uint64)
            grown[: len(self._listing)] = self._listing
            self._listing = grown
        kept = np.flatnonzero(chunk.rows >= 0)
        rows, listing = chunk.rows[kept], chunk.listing[kept]
        again = (listing == _JOINED) & (self._listing[rows] != _UNSEEN)
        self._listing[rows[~again]] = listing[~again]

    def _write_splits(self) -> None:
        if self._splits:
            self._writing.append("splits", pa.concat_tables(self._splits).combine_chunks())
            self._splits = []


def _same_place(uri: str | None, known: list[str], same_source: bool) -> bool:
    """Whether an image of the same id is the same image; a source's URL and its copy are."""
    if not uri or not known or uri in known:
        return True
    return same_source and all(is_url(uri) != is_url(other) for other in known)


def _reject(reading: Reading, chunk: _Chunk, lost: NDArray) -> pa.Table:
    rows = []
    for position in lost.tolist():
        name, uri, place = chunk.key(position)
        where = reading.location(position) if reading.location is not None else uri or place
        rows.append({"location": where, "reason": f"image {name} was listed before"})
    return pa.Table.from_pylist(rows, schema=READING_REJECTS)
