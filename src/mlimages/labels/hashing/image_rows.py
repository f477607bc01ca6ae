"""Rows of the tables about images, in the canonical encoding, partition by partition.

Each function takes the partitions to go through; all by default.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlimages.errors import DatabaseError
from mlimages.labels.coded import coded, distinct
from mlimages.labels.hashing.canonical import (
    DIGEST_BYTES,
    Digests,
    Keys,
    Rows,
    column_text,
    digests_of,
    joined,
    tokens_of,
)
from mlimages.schemas import FACT_KINDS, IMAGES
from mlimages.store import Store

_BLOCK_IMAGES = 1 << 17
_FACT = np.dtype(
    [
        ("category", "V16"),
        ("source", "V16"),
        ("present", "u1"),
        ("kind", "u1"),  # index into FACT_KINDS, to which kinds are only ever appended
        ("confidence", "<f4"),
    ]
)
_TAG = np.dtype([("category", "V16"), ("because", "V16"), ("reason", "u1"), ("confidence", "<f4")])


def image_rows(store: Store, partitions: Sequence[int] | None = None) -> Rows:
    """Each image: every column of schemas.IMAGES but its row and its places on this machine."""
    for partition in _chosen(store, partitions):
        table = store.table("images", partition=partition)
        for begin in range(0, table.num_rows, _BLOCK_IMAGES):
            part = table.slice(begin, _BLOCK_IMAGES).combine_chunks()
            columns = [column_text(part, name) for name in IMAGES.names if name != "row"]
            texts = pc.binary_join_element_wise(*columns, b"").to_pylist()
            person = b"image"
            yield part["id"].to_pylist(), digests_of(person, texts), part.num_rows


def split_rows(store: Store, partitions: Sequence[int] | None = None) -> Rows:
    """Each image with its split."""
    for partition, ids in _ids(store, partitions):
        first = partition * store.manifest.partition_rows
        inside = (pc.field("row") >= first) & (
            pc.field("row") < first + store.manifest.partition_rows
        )
        splits = store.table("splits", where=inside)
        known = distinct(splits["split"])
        names = np.array([name.encode() for name in known], dtype=object)
        texts = names[coded(splits["split"], known)].tolist()
        yield _single(b"split", ids, splits["row"].to_numpy(), texts)


def byte_rows(store: Store, partitions: Sequence[int] | None = None) -> Rows:
    """Each packed image with the length and checksum of its bytes, wherever they are packed."""
    for partition, ids in _ids(store, partitions):
        index = store.table("shards/index", ["row", "length", "crc32"], partition)
        values = zip(index["length"].to_pylist(), index["crc32"].to_pylist(), strict=True)
        texts = [b"%d %d" % value for value in values]
        yield _single(b"bytes", ids, index["row"].to_numpy(), texts)


def fact_rows(store: Store, partitions: Sequence[int] | None = None) -> Rows:
    """Each image that facts are about, with all of them."""
    keys = Keys(store)
    for partition, ids in _ids(store, partitions):
        facts = store.table("facts", partition=partition)
        names = sorted(distinct(facts["source"]), key=str.encode)
        sources, kinds = coded(facts["source"], names), coded(facts["kind"], FACT_KINDS)
        present, confidences = facts["present"].to_numpy(), facts["confidence"].to_numpy()
        rows, categories = facts["row"].to_numpy(), facts["category"].to_numpy()
        keys.check(categories)
        first = rows.astype(np.int64) << 32 | keys.ranks[categories]
        # What follows image and category: source, present, kind, and the bits of the confidence.
        second = sources.astype(np.int64) << 40 | present.astype(np.int64) << 39
        second |= kinds.astype(np.int64) << 32
        second |= confidences.astype(np.float32).view(np.uint32).astype(np.int64)
        order = np.lexsort((second, first))
        tokens = tokens_of(names)

        def record(
            place: NDArray,
            columns: tuple = (categories, sources, present, kinds, confidences),
            tokens: NDArray = tokens,
        ) -> NDArray:
            category, source, held, kind, confidence = (column[place] for column in columns)
            records = np.empty(len(place), dtype=_FACT)
            records["category"], records["source"] = keys.tokens[category], tokens[source]
            records["present"], records["kind"] = held, kind
            records["confidence"] = confidence
            return records

        yield from _grouped(b"facts", ids, rows[order], order, record)


def tag_rows(store: Store, partitions: Sequence[int] | None = None) -> Rows:
    """Each image that has tags, with all of them."""
    keys = Keys(store)
    for partition, ids in _ids(store, partitions):
        table = store.table("tags", partition=partition)
        for begin in range(0, table.num_rows, _BLOCK_IMAGES):
            part = table.slice(begin, _BLOCK_IMAGES).combine_chunks()
            lists = part["categories"].combine_chunks()
            rows = np.repeat(part["row"].to_numpy(), lists.value_lengths().to_numpy())
            columns = [
                part[name].combine_chunks().flatten().to_numpy()
                for name in ("categories", "because", "reasons", "confidences")
            ]
            keys.check(columns[0])
            keys.check(columns[1])
            order = np.argsort(rows.astype(np.int64) << 32 | keys.ranks[columns[0]], kind="stable")

            def record(place: NDArray, columns: list = columns) -> NDArray:
                category, because, reason, confidence = (column[place] for column in columns)
                records = np.empty(len(place), dtype=_TAG)
                records["category"], records["because"] = (
                    keys.tokens[category],
                    keys.tokens[because],
                )
                records["reason"], records["confidence"] = reason, confidence
                return records

            yield from _grouped(b"tags", ids, rows[order], order, record)


def _chosen(store: Store, partitions: Sequence[int] | None) -> Sequence[int]:
    return store.partitions("images") if partitions is None else partitions


def _ids(
    store: Store, partitions: Sequence[int] | None
) -> Iterator[tuple[int, dict[str, NDArray]]]:
    """Of each partition: its rows, ascending, and their ids."""
    for partition in _chosen(store, partitions):
        table = store.table("images", ["row", "id"], partition).sort_by("row").combine_chunks()
        ids = np.array(table["id"].to_pylist(), dtype=object)
        yield partition, {"row": table["row"].to_numpy(), "id": ids}


def _grouped(
    person: bytes,
    ids: dict[str, NDArray],
    rows: NDArray,
    order: NDArray,
    record: Callable[[NDArray], NDArray],
) -> Rows:
    """Digests of images from the records of each; `rows` ascend, `order` says where they are."""
    make = functools.partial(blake2b, digest_size=DIGEST_BYTES, person=person)
    begin = 0
    while begin < len(rows):
        # Whole images, a bounded number of records at a time.
        last = rows[min(begin + 8 * _BLOCK_IMAGES, len(rows)) - 1]
        end = int(np.searchsorted(rows, last, side="right"))
        found, first = np.unique(rows[begin:end], return_index=True)
        labels = _labels(ids, found)
        records = record(order[begin:end])
        data, size = records.tobytes(), records.itemsize
        bounds = [*(first * size).tolist(), len(data)]
        digests = [
            make(b"%d:%b" % (len(label), label.encode()) + data[bounds[i] : bounds[i + 1]]).digest()
            for i, label in enumerate(labels)
        ]
        yield labels, joined(digests), end - begin
        begin = end


def _single(
    person: bytes, ids: dict[str, NDArray], rows: NDArray, texts: list[bytes]
) -> tuple[list[str], Digests, int]:
    """Digests of images from the one text of each, ascending by row."""
    make = functools.partial(blake2b, digest_size=DIGEST_BYTES, person=person)
    order = np.argsort(rows, kind="stable")
    labels = _labels(ids, rows[order])
    digests = [
        make(b"%d:%b" % (len(label), label.encode()) + texts[i]).digest()
        for label, i in zip(labels, order.tolist(), strict=True)
    ]
    return labels, joined(digests), len(labels)


def _labels(ids: dict[str, NDArray], rows: NDArray) -> list[str]:
    """Ids of rows; raises DatabaseError when a row has no image."""
    place = np.searchsorted(ids["row"], rows)
    if len(rows) and (place[-1] >= len(ids["row"]) or not np.array_equal(ids["row"][place], rows)):
        raise DatabaseError("database", "a row without an image", "run: mlimages check")
    return ids["id"][place].tolist()
