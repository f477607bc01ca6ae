"""Arrow schemas of every table: what another program needs in order to read a database."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

NAME = pa.dictionary(pa.int32(), pa.string())
"""A string of which there are few distinct ones: in a file a plain string column."""

CATEGORIES = pa.schema(
    [
        ("category", pa.int32()),
        ("key", pa.string()),  # a wnid such as n02084071, or namespace:key
        ("names", pa.list_(pa.string())),
        ("gloss", pa.string()),
        ("source", pa.string()),
        ("sensitive", pa.bool_()),
    ]
)
HIERARCHY = pa.schema([("child", pa.int32()), ("parent", pa.int32()), ("hierarchy", pa.string())])
SOURCES = pa.schema(
    [
        ("source", pa.string()),
        ("format", pa.string()),
        ("single_label", pa.bool_()),  # one tag an image by design, as ImageNet
        ("exhaustive", pa.list_(pa.int32())),  # categories for which silence means absence
    ]
)
IMAGES = pa.schema(
    [
        ("row", pa.int32()),  # the join key of every other table
        ("id", pa.string()),
        ("sources", pa.list_(pa.string())),  # who annotated it
        ("uris", pa.list_(pa.string())),  # candidate places of its bytes, in order of preference
        ("licence", pa.string()),
        ("author", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("landing_url", pa.string()),  # the page on which the author shows it
        ("title", pa.string()),
        ("bytes", pa.int64()),  # length of the original file
        ("md5", pa.string()),  # of the original file, 32 hexadecimal digits
        ("rotation", pa.float32()),  # degrees to turn it counterclockwise to stand upright
    ]
)
SPLITS = pa.schema([("row", pa.int32()), ("split", NAME)])
FACTS = pa.schema(
    [
        ("row", pa.int32()),
        ("category", pa.int32()),
        ("source", NAME),
        ("present", pa.bool_()),
        ("confidence", pa.float32()),
        ("kind", NAME),  # one of FACT_KINDS
    ]
)
FACT_KINDS = ("asserted", "verified", "machine", "exhaustive", "correction", "duplicate")
REJECTS = pa.schema(
    [
        ("source", pa.string()),
        ("stage", pa.string()),  # import, annotation (dropped from a kept image) or pack
        ("location", pa.string()),  # file, file:line or uri
        ("reason", pa.string()),
        ("row", pa.int32()),  # the image's row, for rejects of pack
    ]
)
TAGS = pa.schema(
    [
        ("row", pa.int32()),
        ("categories", pa.list_(pa.int32())),
        ("confidences", pa.list_(pa.float32())),
        ("reasons", pa.list_(pa.int8())),  # index into TAG_REASONS
        ("because", pa.list_(pa.int32())),  # the category that supports it most
    ]
)
TAG_REASONS = ("asserted", "ancestor", "cooccurrence")
POSTINGS = pa.schema(
    [
        ("category", pa.int32()),
        ("row", pa.int32()),
        ("confidence", pa.float32()),
        ("reason", pa.int8()),
    ]
)
COOCCURRENCE = pa.schema(
    [
        ("cause", pa.int32()),
        ("effect", pa.int32()),
        ("images", pa.int64()),  # images of the cause
        ("predicted", pa.int64()),  # of these, predicted to show the effect
        ("ratio", pa.float64()),
    ]
)
PREDICTIONS = pa.schema(
    [("row", pa.int32()), ("category", pa.int32()), ("probability", pa.float32())]
)
DUPLICATES = pa.schema(
    [
        ("row", pa.int32()),  # an image that another one stands for: nothing selects or counts it
        ("kept", pa.int32()),  # that other one; it carries the facts of both
        ("evidence", pa.string()),  # md5 (both sources gave it), bytes or perceptual (both packed)
        ("distance", pa.int16()),  # of perceptual ones: bits in which the hashes differ, of 128
        ("likeness", pa.float32()),  # of perceptual ones: correlation of the pixels
        ("position", pa.string()),  # how the picture is turned against the one kept, if it is
    ]
)
LEAKS = pa.schema(
    [
        ("row", pa.int32()),  # an image that is also outside: nothing selects or counts it
        ("outside", pa.string()),  # path of that picture, or its id in the other database
        ("evidence", pa.string()),  # as of DUPLICATES
        ("distance", pa.int16()),
        ("likeness", pa.float32()),
        ("position", pa.string()),
    ]
)
HASHES = pa.schema(
    [
        ("row", pa.int32()),
        ("perceptual", pa.uint64()),  # signs of the lowest frequencies of the luminance
        ("gradient", pa.uint64()),  # which of neighbouring cells is brighter
        ("sure", pa.uint8()),  # bits of the first above the noise; 0 where nothing was decoded
        ("crc32", pa.uint32()),  # of the bytes that were hashed
    ]
)
PLACEHOLDERS = pa.schema(
    [
        ("host", pa.string()),  # that was asked for images
        ("md5", pa.string()),  # of the bytes that it gave
        ("copies", pa.int64()),  # addresses under which it gave them
        ("placeholder", pa.bool_()),  # too many: a picture in place of those asked for
    ]
)
SHARD_INDEX = pa.schema(
    [
        ("row", pa.int32()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),  # of the image's first byte in the tar
        ("length", pa.int64()),
        ("crc32", pa.uint32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
LEDGER = pa.schema(
    [
        ("row", pa.int32()),
        ("candidate", pa.uint8()),  # position of the URL in the image's uris
        ("state", pa.uint8()),  # number of an images.fetching.states.UrlState
        ("status", pa.int16()),  # of HTTP; 0 without an answer
        ("attempts", pa.uint8()),  # 255 stands for more, too
        ("when", pa.uint32()),  # of the last one, seconds since 1970
    ]
)
HOSTS = pa.schema(
    [
        ("row", pa.int32()),
        ("candidate", pa.uint8()),
        ("host", NAME),  # with its port, where the URL names one
    ]
)
RIGHTS = pa.schema(
    [
        ("row", pa.int32()),
        ("uri", pa.string()),  # the candidate that was fetched
        ("final_uri", pa.string()),  # where redirects ended
        ("address", pa.string()),  # IP address that answered
        ("fetched_at", pa.timestamp("s", tz="UTC")),
        ("md5", pa.string()),  # of the bytes that were fetched, before anything was stripped
        ("bytes", pa.int64()),
        ("signals", pa.list_(pa.string())),  # opt-out signals, as the server sent them
        ("licence", pa.string()),  # as the sources named it at that time
        ("author", pa.string()),
    ]
)
REMOVALS = pa.schema(
    [
        ("kind", pa.string()),  # one of labels.removals.KINDS
        ("value", pa.string()),
        ("when", pa.timestamp("s", tz="UTC")),
        ("note", pa.string()),
        ("places", pa.list_(pa.string())),  # other names of the images that it met, to know them by
        ("rows", pa.list_(pa.int32())),  # the images that it means in this database
    ]
)

READING_IMAGES = pa.schema(
    [
        ("id", pa.string()),
        ("uri", pa.string()),
        ("split", NAME),
        ("licence", pa.string()),
        ("author", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("landing_url", pa.string()),
        ("title", pa.string()),
        ("bytes", pa.int64()),
        ("md5", pa.string()),
        ("rotation", pa.float32()),
        ("more_uris", pa.list_(pa.string())),  # further places, after `uri`
    ]
)
READING_FACTS = pa.schema(
    [
        ("image", pa.int32()),  # position in the reading's images
        ("category", pa.int32()),
        ("present", pa.bool_()),
        ("confidence", pa.float32()),
        ("kind", NAME),
    ]
)
READING_REJECTS = pa.schema([("location", pa.string()), ("reason", pa.string())])

TABLES = {
    "categories": CATEGORIES,
    "hierarchy": HIERARCHY,
    "sources": SOURCES,
    "images": IMAGES,
    "splits": SPLITS,
    "facts": FACTS,
    "rejects": REJECTS,
    "tags": TAGS,
    "postings": POSTINGS,
    "cooccurrence": COOCCURRENCE,
    "duplicates": DUPLICATES,
    "leaks": LEAKS,
    "hashes": HASHES,
    "placeholders": PLACEHOLDERS,
    "shards/index": SHARD_INDEX,
    "ledger": LEDGER,
    "hosts": HOSTS,
    "rights": RIGHTS,
    "removals": REMOVALS,
}
PARTITIONED = (
    "images",
    "facts",
    "tags",
    "postings",
    "shards/index",
    "hashes",
    "ledger",
    "hosts",
    "rights",
)
"""Tables with a column `row` that are kept in one or more files a partition of images."""

WRITE_OPTIONS: dict[str, dict[str, Any]] = {
    # One image's tags are read by its row group; one image's lists repeat in the next.
    "tags": {
        "row_group_size": 1 << 15,
        "use_dictionary": ["confidences.list.element", "reasons.list.element"],
        "column_encoding": {"row": "DELTA_BINARY_PACKED"},
        "write_statistics": ["row"],
    },
    # One category's rows are read by the row groups whose statistics hold it.
    "postings": {
        "row_group_size": 1 << 18,
        "use_dictionary": ["confidence", "reason"],
        "column_encoding": {"category": "DELTA_BINARY_PACKED", "row": "DELTA_BINARY_PACKED"},
        "write_statistics": ["category"],
    },
    "hosts": {
        "use_dictionary": ["host"],
        "column_encoding": {"row": "DELTA_BINARY_PACKED"},
    },
}
"""How `pyarrow.parquet.write_table` writes a table, beyond `compression="zstd"` at level 1."""
