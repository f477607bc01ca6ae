"""Taking readings into the tables of a database: which images are new, and which facts.

An image is known when its id is known and a place of its bytes agrees: that settles it, so what was
listed before is always found where it was put. Otherwise its id is enough when one of the two has
no place at all (a list of tags for images held elsewhere), or when the same source named a URL
before and a local file now. An image whose id is the hash of a place is also known by that place.
The same id at another place is another image, and gets an id from its place. Facts are only ever
added; one that the same source said before is not said twice: importing again changes nothing.

Within one stream a place comes once: one that an earlier chunk listed is a reject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.intake.background import BackgroundCommit
from mlimages.labels.intake.chunk import (
    BY_URI,
    JOINED,
    NEW,
    REJECTED,
    UNSEEN,
    Chunk,
    Listing,
    comes_again,
    same_place,
)
from mlimages.labels.intake.fact_intake import FactIntake
from mlimages.labels.intake.gains import METADATA, appended, find_gains, first_uris, further_places
from mlimages.labels.intake.held_images import HeldImages
from mlimages.labels.reading import Reading
from mlimages.labels.removal_matching import RemovalMatcher
from mlimages.labels.string_index import StringIndex, hash_function
from mlimages.schemas import IMAGES, READING_REJECTS, SPLITS

Rows = NDArray[np.int32]
ON_REQUEST = "removed on request"
"""Why an image of the list of removals is turned away."""


@dataclass(frozen=True)
class Taken:
    """What became of the images of one reading; `rejects` are READING_REJECTS."""

    new_images: int
    merged_images: int
    rejects: pa.Table


class Merger:
    """Merges the readings of one stream.

    Args:
        writing: the generation in the making.
        source: that all readings are of.
        spoke_before: whether the database holds facts of it.
        expected: about how many images a reading has.
        removals: finds images that somebody asked to remove; they are turned away.
    """

    def __init__(
        self,
        writing: BackgroundCommit,
        source: str,
        *,
        spoke_before: bool,
        expected: int,
        removals: RemovalMatcher,
    ) -> None:
        self._writing, self._source, self._spoke_before = writing, source, spoke_before
        self._removals = removals
        self._held = HeldImages(writing, expected)
        self._complete = self._held.complete
        self._hash = hash_function(expected)
        self.facts = FactIntake(writing, source)
        self._listing: Listing = np.zeros(self._held.count, np.uint64)  # by row
        self._splits: list[pa.Table] = []
        self._places = StringIndex(self._hash)  # of this stream, but for its last chunk
        self._last: Chunk | None = None

    def take(self, reading: Reading) -> Taken:
        """Merge one reading: its images, their splits, and its facts."""
        images = reading.images.combine_chunks()
        chunk = Chunk.of(reading, self._hash)
        self._decide(chunk)
        if not reading.named_by_place:
            self._reject_repeated_places(chunk)
        gone = self._removals.matched(images)
        self._turn_away(chunk, np.flatnonzero(gone))
        known = np.flatnonzero(chunk.rows >= 0)
        new = np.flatnonzero(chunk.rows == NEW)
        lost = np.flatnonzero(chunk.rows == REJECTED)
        # A fact is looked for among earlier ones only where there may be some.
        may_repeat = np.zeros(len(chunk.rows), bool)
        may_repeat[known] = self._spoke_before | (self._listing[chunk.rows[known]] != UNSEEN)
        may_repeat[known] |= _shared(chunk.rows[known])
        self._gain(images, chunk, known)
        self._append(images, chunk, new)
        self._remember(chunk)
        self._last = None if reading.named_by_place else chunk
        self.facts.add(reading.facts, chunk.rows, may_repeat)
        for number in range(self._complete, self._held.complete):
            self.facts.write(number)
        self._complete = self._held.complete
        return Taken(len(new), len(known), _reject(reading, chunk, lost, gone))

    def finish(self) -> None:
        """Write what is not yet written."""
        self._held.finish()
        self.facts.flush()
        self._write_splits()

    def _decide(self, chunk: Chunk) -> None:
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
            rest = np.flatnonzero(nameless & ((chunk.listing & BY_URI) != 0))
            candidates = self._held.places.find(chunk.uris.take(pa.array(rest)))
            odd += rest[candidates >= 0].tolist()
        if odd:
            self._decide_one_by_one(chunk, sorted(odd), records)
        if chunk.namesakes:
            self._decide_namesakes(chunk)

    def _are_plain(self, chunk: Chunk, hits: NDArray, known: pa.Table) -> NDArray[np.bool_]:
        """Which namesakes are the same image at first sight."""
        uris = chunk.uris.take(pa.array(hits))
        first = first_uris(known)
        agrees = pc.or_(pc.or_(uris.is_null(), first.is_null()), pc.equal(uris, first))
        agrees = agrees.fill_null(True).to_numpy(zero_copy_only=False)
        unseen = self._listing[known["row"].to_numpy()] == UNSEEN
        return (unseen & agrees) | (chunk.listing[hits] == JOINED)

    def _decide_one_by_one(self, chunk: Chunk, odd: list[int], namesakes: dict[int, dict]) -> None:
        other_ids = [chunk.other_ids(position) for position in odd]
        found = [
            self._held.ids.find(pa.array([ids[n] for ids in other_ids], pa.string()))
            for n in range(2)
        ]
        by_uri = self._held.places.find(chunk.uris.take(pa.array(odd)))
        rows = np.unique(np.concatenate([*found, by_uri]))
        records = {r["row"]: r for r in self._held.fetch(rows[rows >= 0]).to_pylist()}
        places = zip(*(column.tolist() for column in (*found, by_uri)), strict=True)
        for position, ids, (first, second, third) in zip(odd, other_ids, places, strict=True):
            others = [records.get(first), records.get(second)]
            for n, record in enumerate(others):
                if record is not None and record["id"] != ids[n]:
                    others[n] = None
            by_place = records.get(third)
            if by_place is not None and chunk.uris[position].as_py() not in by_place["uris"]:
                by_place = None
            candidates = [namesakes.get(position), *others, by_place]
            chunk.rows[position] = self._row_among(chunk, position, candidates)
            if position not in namesakes:
                continue
            if chunk.rows[position] == NEW:
                free = ids[0] if others[0] is None else ids[1]
                chunk.names[position] = free or chunk.ids[position].as_py()
            # Only the first that a stream lists by a name may be known by the name alone.
            row = namesakes[position]["row"]
            if self._listing[row] == UNSEEN:
                self._listing[row] = chunk.listing[position]

    def _row_among(self, chunk: Chunk, position: int, candidates: list[dict | None]) -> int:
        """The row of the candidate that is the same image, or NEW, or REJECTED."""
        uri = chunk.uris[position].as_py()
        mine = chunk.listing[position]
        known = [record for record in candidates if record is not None]
        for record in known:
            if uri is not None and uri in record["uris"]:
                again = comes_again(self._listing[record["row"]], mine)
                return REJECTED if again else record["row"]
        for record in known:
            seen = self._listing[record["row"]]
            if comes_again(seen, mine):
                return REJECTED
            free = seen in (UNSEEN, JOINED) or mine == JOINED
            if free and same_place(uri, record["uris"], self._source in record["sources"]):
                return record["row"]
        return NEW

    def _reject_repeated_places(self, chunk: Chunk) -> None:
        """Reject what an earlier chunk listed by another name."""
        if self._last is not None:
            kept = np.flatnonzero((self._last.rows >= 0) & (self._last.listing != JOINED))
            self._places.add(self._last.keys.take(pa.array(kept)), self._last.rows[kept])
        found = self._places.find(chunk.keys)
        hits = np.flatnonzero((found >= 0) & (chunk.rows != REJECTED))
        if len(hits):
            same = self._listing[found[hits]] == chunk.listing[hits]
            known = self._held.fetch(found[hits])["uris"].to_pylist()
            for position, held, listed in zip(hits.tolist(), known, same.tolist(), strict=True):
                uri = chunk.uris[position].as_py()
                # An image may have been listed at several of its places: its row tells the last.
                if listed if uri is None else uri in held:
                    chunk.rows[position] = REJECTED
                    chunk.names.pop(position, None)

    def _turn_away(self, chunk: Chunk, gone: NDArray) -> None:
        """Reject images that somebody asked to remove, known ones too: they gain nothing more."""
        chunk.rows[gone] = REJECTED
        for position in gone.tolist():
            chunk.names.pop(position, None)

    def _decide_namesakes(self, chunk: Chunk) -> None:
        """Images whose own name another one of the chunk has: by it they may be known too."""
        positions = list(chunk.namesakes)
        names = pa.array(chunk.namesakes.values(), pa.string())
        found = self._held.ids.find(names)
        known = np.flatnonzero(found >= 0)
        records = self._held.fetch(found[known]).select(["row", "id", "uris"]).to_pylist()
        for place, record in zip(known.tolist(), records, strict=True):
            position = positions[place]
            if record["id"] != names[place].as_py() or chunk.rows[position] == REJECTED:
                continue
            if comes_again(self._listing[record["row"]], chunk.listing[position]):
                chunk.rows[position] = REJECTED
            elif chunk.uris[position].as_py() in record["uris"]:
                chunk.rows[position] = record["row"]
            if chunk.rows[position] != NEW:
                chunk.names.pop(position, None)
        # A name is free when the image that has it in the chunk is known by another one.
        owners = pc.index_in(names, chunk.ids).to_numpy()
        free = (found < 0) & (chunk.rows[owners] != NEW) & (chunk.rows[positions] == NEW)
        given: set[str] = set()
        for place in np.flatnonzero(free).tolist():
            name = names[place].as_py()
            if name not in given:
                chunk.names[positions[place]] = name
                given.add(name)

    def _gain(self, images: pa.Table, chunk: Chunk, known: NDArray) -> None:
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

    def _append(self, images: pa.Table, chunk: Chunk, new: NDArray) -> None:
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

    def _remember(self, chunk: Chunk) -> None:
        if self._held.count > len(self._listing):
            grown = np.zeros(max(self._held.count, 2 * len(self._listing)), np.uint64)
            grown[: len(self._listing)] = self._listing
            self._listing = grown
        kept = np.flatnonzero(chunk.rows >= 0)
        rows, listing = chunk.rows[kept], chunk.listing[kept]
        again = (listing == JOINED) & (self._listing[rows] != UNSEEN)
        self._listing[rows[~again]] = listing[~again]

    def _write_splits(self) -> None:
        if self._splits:
            self._writing.append("splits", pa.concat_tables(self._splits).combine_chunks())
            self._splits = []


def _shared(rows: Rows) -> NDArray[np.bool_]:
    """bool [rows]: which occur more than once, as an image listed at two of its places."""
    _, place, counts = np.unique(rows, return_inverse=True, return_counts=True)
    return counts[place] > 1


def _reject(reading: Reading, chunk: Chunk, lost: NDArray, gone: NDArray[np.bool_]) -> pa.Table:
    rows = []
    for position in lost.tolist():
        name, uri, place = chunk.key(position)
        name = reading.namesakes.get(position, name)
        where = reading.location(position) if reading.location is not None else uri or place
        reason = ON_REQUEST if gone[position] else f"image {name} was listed before"
        rows.append({"location": where, "reason": reason})
    return pa.Table.from_pylist(rows, schema=READING_REJECTS)
