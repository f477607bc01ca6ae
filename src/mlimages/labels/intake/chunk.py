"""The images of one reading on their way into a database, as columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.labels.identity import image_id, is_url
from mlimages.labels.reading import Reading
from mlimages.labels.streams import places_of

NEW, REJECTED = -1, -2  # instead of the row of a known image

# How an image was listed in a stream, as one number: 0 for not at all, JOINED for by its id alone,
# else the hash of its place, of which the lowest bit says whether that is a URI.
UNSEEN, JOINED, BY_URI = np.uint64(0), np.uint64(2), np.uint64(1)
_PLACED = np.uint64(4)
_HASH = ~np.uint64(3)

Rows = NDArray[np.int32]
Listing = NDArray[np.uint64]


@dataclass
class Chunk:
    """The images of a reading, column by column, and what is decided about each."""

    source: str
    ids: pa.Array
    uris: pa.Array
    places: pa.Array
    keys: pa.Array  # the URI, else the place
    listing: Listing
    rows: Rows
    namesakes: dict[int, str]  # as of a reading
    names: dict[int, str]  # ids of those whose own is another image's in the database

    @classmethod
    def of(cls, reading: Reading, hash_strings: Callable[[pa.Array], Listing]) -> Chunk:
        """The images of a reading, undecided."""
        images = reading.images
        ids, uris = images["id"].combine_chunks(), images["uri"].combine_chunks()
        places = places_of(reading)
        has_uri = uris.is_valid().to_numpy(zero_copy_only=False)
        has_place = has_uri | places.is_valid().to_numpy(zero_copy_only=False)
        keys = uris if has_uri.all() else places
        if has_uri.any() and not has_uri.all():
            keys = pc.coalesce(uris, places)
        listing = (hash_strings(keys) & _HASH) | _PLACED | has_uri.astype(np.uint64)
        listing[~has_place] = JOINED
        rows = np.full(len(ids), NEW, np.int32)
        return cls(reading.source, ids, uris, places, keys, listing, rows, reading.namesakes, {})

    def key(self, position: int) -> tuple[str, str | None, str | None]:
        """(id, uri, place) of an image."""
        return tuple(c[position].as_py() for c in (self.ids, self.uris, self.places))  # type: ignore[return-value]

    def other_ids(self, position: int) -> tuple[str | None, str | None]:
        """Ids of an image whose name is another one's, each for when those before it are too.

        Hashes of its place, if it has one.
        """
        name, uri, place = self.key(position)
        if place is not None and is_url(place):
            hashed = image_id(place)
        elif uri is None and place is None:
            return None, None
        else:
            hashed = image_id(uri if uri is not None else f"{self.source}:{place}")
        return hashed, image_id(f"{name} {hashed}")


def comes_again(seen: np.uint64, mine: np.uint64) -> bool:
    """Whether of one name the same place is listed again, or once with a URI and once without."""
    if JOINED in (seen, mine) or seen == UNSEEN:
        return False
    return bool(seen == mine or (seen ^ mine) & BY_URI)


def same_place(uri: str | None, known: list[str], same_source: bool) -> bool:
    """Whether an image of the same id is the same image; a source's URL and its copy are."""
    if not uri or not known or uri in known:
        return True
    return same_source and all(is_url(uri) != is_url(other) for other in known)
