"""Which images a list of removals means: by id, by any place of their bytes, or by author."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

KINDS = ("id", "url", "author")


def canonical_author(name: str) -> str:
    """An author's name as it is compared: without outer spaces, in lower case."""
    return name.strip().lower()


def url_variants(url: str) -> list[str]:
    """A URL as it may also be written: with http for https, its host in lower case, no fragment."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return [url]
    if parts.scheme.lower() not in ("http", "https"):
        return [url]
    hosts = dict.fromkeys([parts.netloc, parts.netloc.lower()])
    written = [
        urlunsplit((scheme, host, parts.path, parts.query, fragment))
        for fragment in dict.fromkeys([parts.fragment, ""])
        for host in hosts
        for scheme in ("http", "https")
    ]
    return list(dict.fromkeys([url, *written]))


class RemovalMatcher:
    """Finds the images that removals mean, in tables of images.

    Args:
        removals: dictionaries with `kind` (one of KINDS), `value` and, of images that it met
            before, `places`.
    """

    def __init__(self, removals: Iterable[Mapping]) -> None:
        self._ids: defaultdict[str, set[int]] = defaultdict(set)
        self._urls: defaultdict[str, set[int]] = defaultdict(set)
        self._authors: defaultdict[str, set[int]] = defaultdict(set)
        for number, removal in enumerate(removals):
            if removal["kind"] == "id":
                self._ids[removal["value"]].add(number)
            elif removal["kind"] == "author":
                self._authors[canonical_author(removal["value"])].add(number)
            else:
                for url in url_variants(removal["value"]):
                    self._urls[url].add(number)
            for place in removal.get("places") or ():
                for url in url_variants(place):
                    self._urls[url].add(number)

    def __bool__(self) -> bool:
        return bool(self._ids or self._urls or self._authors)

    def matched(self, images: pa.Table) -> NDArray[np.bool_]:
        """bool [images]: those that some removal means."""
        found = np.zeros(images.num_rows, dtype=bool)
        for positions, _ in self.matches(images):
            found[positions] = True
        return found

    def matches(self, images: pa.Table) -> Iterable[tuple[NDArray[np.int64], set[int]]]:
        """Which removals mean which images.

        Args:
            images: with `id`, `author`, `landing_url`, and `uris`, or `uri` and `more_uris`.

        Yields:
            positions of images, and the numbers of removals that mean them.
        """
        yield from _hits(images["id"], self._ids)
        if self._authors:
            names = pc.utf8_lower(pc.utf8_trim_whitespace(images["author"]))
            yield from _hits(names, self._authors)
        for name in ("uri", "landing_url"):
            if name in images.column_names:
                yield from _hits(images[name], self._urls)
        for name in ("uris", "more_uris"):
            if name in images.column_names and self._urls:
                lists = images[name].combine_chunks()
                owners = pc.list_parent_indices(lists).to_numpy()
                for positions, removals in _hits(pc.list_flatten(lists), self._urls):
                    yield owners[positions], removals


def _hits(
    values: pa.ChunkedArray | pa.Array, wanted: Mapping[str, set[int]]
) -> Iterable[tuple[NDArray[np.int64], set[int]]]:
    if not wanted:
        return
    known = list(wanted)
    found = pc.index_in(values, pa.array(known, pa.string())).fill_null(-1)
    places = np.asarray(found)
    positions = np.flatnonzero(places >= 0)
    for place in np.unique(places[positions]).tolist():
        yield positions[places[positions] == place], wanted[known[place]]
