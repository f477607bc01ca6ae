"""The candidate URLs of a database: which image each is of, and its host.

Reading 17 million URLs for their hosts takes longer than a report may, so the ledger's commits keep
them as the table `hosts`, of each partition with the fingerprint of the images that it was made of.
Where it is missing, or the images have changed since, it is made anew.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlimages.schemas import HOSTS, NAME
from mlimages.store import Store

MOST_CANDIDATES = 256  # URLs of one image; what comes after them is never tried


def candidates_of(store: Store, partition: int) -> pa.Table:
    """schemas.HOSTS of a partition: its http(s) URLs by row and position."""
    if is_kept(store, partition):
        return store.table("hosts", partition=partition).combine_chunks()
    return find_candidates(store.table("images", ["row", "uris"], partition))


def is_kept(store: Store, partition: int) -> bool:
    """Whether the table `hosts` holds a partition as it is now."""
    kept = store.manifest.info.get("ledger", {}).get("hosts", {})
    return kept.get(str(partition)) == fingerprint(store, partition)


def fingerprint(store: Store, partition: int) -> str:
    """Changes when the images of a partition do."""
    sums = " ".join(entry.sha256 for entry in store.entries("images", partition))
    return hashlib.sha256(sums.encode()).hexdigest()[:16]


def find_candidates(images: pa.Table) -> pa.Table:
    """schemas.HOSTS of images with columns `row` and `uris`."""
    rows_of = images["row"].to_numpy()
    if np.any(rows_of[1:] < rows_of[:-1]):
        images = images.sort_by("row")
    lists: Any = images["uris"].combine_chunks()
    flat = lists.flatten()
    owners = lists.value_parent_indices().to_numpy()
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(len(flat)) - starts[owners]
    scheme = pc.utf8_lower(pc.utf8_slice_codeunits(flat, 0, len("https://")))
    http = pc.or_(pc.starts_with(scheme, "http://"), pc.equal(scheme, "https://"))
    taken = http.fill_null(False).to_numpy(zero_copy_only=False) & (positions < MOST_CANDIDATES)
    rows = images["row"].to_numpy()[owners[taken]]
    return pa.table(
        [
            pa.array(rows, pa.int32()),
            pa.array(positions[taken].astype(np.uint8)),
            _hosts(flat.filter(pa.array(taken))),
        ],
        schema=HOSTS,
    )


def _hosts(urls: pa.Array) -> pa.DictionaryArray:
    """Host and port of each URL, in lower case; "" for one that names none."""
    found = pc.list_element(pc.split_pattern(urls, "/", max_splits=3), 2)
    encoded = found.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    plain = np.asarray(pc.match_substring_regex(encoded.dictionary, "^[a-z0-9.:-]*$"))
    for place in np.flatnonzero(~plain).tolist():
        names[place] = _host(names[place])
    distinct = list(dict.fromkeys(names))
    places = {name: place for place, name in enumerate(distinct)}
    codes = np.array([places[name] for name in names], np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(codes[encoded.indices.to_numpy()]) if len(urls) else pa.array([], pa.int32()),
        pa.array(distinct, NAME.value_type),
    )


def _host(authority: str) -> str:
    """Without user and password, query and fragment."""
    return authority.partition("?")[0].partition("#")[0].rpartition("@")[2].lower()
