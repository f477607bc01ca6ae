"""Rows of a database in a canonical encoding: the same for everyone who holds the same rows.

An image is called by its id and a category by its key, never by a number that the order of imports
or of a vocabulary gave. Lists that are sets (sources, places, facts, tags) are sorted. Places on
this machine are left out: they say where a copy is, not what it is. Each row becomes a label to
name it by, and 32 bytes of BLAKE2b over its encoding; `hashes` makes tables of them.

Texts are written `name=length:bytes`, and a missing one not at all, so that no two rows have the
same encoding and a column added later changes no row without it. Facts and tags are fixed-size
records of the first 16 bytes of BLAKE2b of each key, with numbers little-endian.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.labels.exports.values import is_public
from mlimages.store import Store

Digests = NDArray[np.bytes_]  # S32
Rows = Iterator[tuple[Sequence[str], Digests, int]]
"""(labels, digests, facts or tags or rows that they stand for), block by block."""
DIGEST_BYTES = 32
_TOKEN_BYTES = 16


class Keys:
    """The keys of a vocabulary.

    Attributes:
        keys: of each category, by index.
        tokens: V16 [categories], what stands for each in a record.
        ranks: int64 [categories], each one's place in the order of the keys.
    """

    def __init__(self, store: Store) -> None:
        """Read the vocabulary.

        Raises:
            DatabaseError: it holds a key twice.
        """
        table = store.table("categories", ["category", "key"]).sort_by("category")
        keys = self.keys = table["key"].to_pylist()
        self.tokens = tokens_of(keys)
        if len(np.unique(self.tokens.view("S16"))) != len(keys):
            raise DatabaseError("categories", "a key twice", "run: mlimages check")
        self.ranks = np.empty(len(keys), dtype=np.int64)
        self.ranks[sorted(range(len(keys)), key=lambda i: keys[i].encode())] = np.arange(len(keys))

    def check(self, categories: NDArray[np.integer]) -> None:
        """Raise DatabaseError when one of the categories is not in the vocabulary."""
        if len(categories) and (categories.min() < 0 or categories.max() >= len(self.keys)):
            raise DatabaseError("database", "a category without a key", "run: mlimages check")


def digests_of(person: bytes, texts: Sequence[bytes]) -> Digests:
    """S32: the digest of each encoded row; `person` keeps tables apart."""
    make = functools.partial(blake2b, digest_size=DIGEST_BYTES, person=person)
    return joined([make(text).digest() for text in texts])


def joined(digests: list[bytes]) -> Digests:
    """S32 of digests."""
    return np.frombuffer(b"".join(digests), dtype=f"S{DIGEST_BYTES}")


def tokens_of(keys: Sequence[str]) -> NDArray[np.void]:
    """V16 [keys]: what stands for each key in a record."""
    digests = [blake2b(key.encode(), digest_size=_TOKEN_BYTES).digest() for key in keys]
    return np.frombuffer(b"".join(digests), dtype=f"V{_TOKEN_BYTES}")


def column_text(part: pa.Table, name: str) -> pa.Array:
    """`name=length:bytes` of each row of a column, empty where the value is missing."""
    values = part[name].combine_chunks()
    if pa.types.is_list(values.type):
        values = _sets(values, only_public=name == "uris")
    values = pc.cast(values, pa.string()).cast(pa.binary())
    lengths = pc.cast(pc.binary_length(values), pa.string()).cast(pa.binary())
    texts = pc.binary_join_element_wise(name.encode() + b"=", lengths, b":", values, b"")
    return pc.fill_null(texts, b"")


def _sets(lists: pa.ListArray, only_public: bool) -> pa.Array:
    """`length:bytes` of each list's distinct values, ascending; None when there are none."""
    values = lists.flatten()
    owner = lists.value_parent_indices()
    if only_public and len(values):
        public = pa.array(is_public(values))
        values, owner = values.filter(public), owner.filter(public)
    table = pa.table({"owner": owner, "value": values}).group_by(["owner", "value"]).aggregate([])
    table = table.sort_by([("owner", "ascending"), ("value", "ascending")]).combine_chunks()
    data = table["value"].combine_chunks()
    lengths = pc.cast(pc.binary_length(data), pa.string())
    texts = pc.binary_join_element_wise(lengths, data, ":")
    offsets = np.searchsorted(table["owner"].to_numpy(), np.arange(len(lists) + 1))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), "")
    return pc.if_else(pc.equal(pc.binary_length(joined), 0), None, joined)
