"""Croissant metadata (JSON-LD): what the files hold, and on what terms.

The format is https://mlcommons.org/croissant/1.1. Every file but those of single images is listed
with its size and SHA-256, and tables are described by column. Paths are relative to the folder of
the metadata: put `croissant.json` of a database into the database's folder to read the records
through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlimages.labels.exports.attribution import Attribution
from mlimages.labels.exports.files import PublishedFile
from mlimages.schemas import TABLES as SCHEMAS
from mlimages.store import Store

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
FORMATS = {
    ".parquet": "application/x-parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".tar": "application/x-tar",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".tfrecords": "application/octet-stream",
}
TABLES = {
    "categories": "the vocabulary: a category a row",
    "hierarchy": "links from a category to its parents: a forest (tencent) and a graph (wordnet)",
    "sources": "who annotated, and for which categories silence means absence",
    "images": "an image a row, with its places, licence and author",
    "splits": "which split an image is in",
    "facts": "what a source said of an image and a category, present or absent",
    "tags": "what follows from the facts: lists of categories with confidence and reason",
    "cooccurrence": "pairs of categories that co-occur, with the evidence",
    "shards/index": "where in the shards the bytes of an image are",
}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True)
class Columns:
    """A table of an export.

    Attributes:
        name: of the record set.
        description: one sentence.
        includes: its files, or patterns of them, relative to the metadata.
        schema: its columns.
    """

    name: str
    description: str
    includes: tuple[str, ...]
    schema: pa.Schema


def metadata(
    name: str,
    description: str,
    files: Sequence[PublishedFile],
    tables: Sequence[Columns],
    attribution: Attribution,
    sensitive: int,
    version: str,
) -> dict[str, Any]:
    """The metadata as a JSON object.

    Args:
        name: of the data set.
        description: what it is.
        files: all its files.
        tables: those that are tables, by column.
        attribution: licences and authors.
        sensitive: number of sensitive categories among the labels.
        version: of the data set, as N.N.N.
    """
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": description,
        "version": version,
        "isBasedOn": attribution.based_on(),
        "rai:personalSensitiveInformation": (
            f"{sensitive:,} categories of persons are marked as sensitive. They are kept in the "
            "data and shown by no report; do not show or predict them for people."
        ),
        "distribution": [_file_object(file) for file in files] + [_file_set(t) for t in tables],
        "recordSet": [_record_set(table) for table in tables],
    }
    licences = [name for name, _ in attribution.licences() if name]
    if licences:
        found["license"] = licences
    return found


def of_database(store: Store) -> tuple[list[PublishedFile], list[Columns]]:
    """The files of a database, and its tables by column."""
    files = [
        PublishedFile(entry.path, entry.size, entry.sha256)
        for _, entries in sorted(store.manifest.files.items())
        for entry in entries
    ]
    tables = []
    for name, description in TABLES.items():
        entries = store.manifest.files.get(name, [])
        if entries:
            # No pattern: it would also find files of older generations, which stay for an hour.
            paths = tuple(entry.path for entry in entries)
            tables.append(Columns(name, description, paths, SCHEMAS[name]))
    return files, tables


def _file_object(file: PublishedFile) -> dict[str, Any]:
    suffix = "." + file.path.rpartition(".")[2]
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": FORMATS.get(suffix, "application/octet-stream"),
        "sha256": file.sha256,
    }


def _file_set(table: Columns) -> dict[str, Any]:
    suffix = "." + table.includes[0].rpartition(".")[2]
    return {
        "@type": "cr:FileSet",
        "@id": f"{table.name}-files",
        "name": f"{table.name}-files",
        "description": f"the files of the table {table.name}",
        "encodingFormat": FORMATS[suffix],
        "includes": list(table.includes),
    }


def _record_set(table: Columns) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.description,
        "field": [
            _field(table, column) for column in table.schema if not pa.types.is_struct(column.type)
        ],
    }


def _field(table: Columns, column: pa.Field) -> dict[str, Any]:
    kind, repeated = column.type, pa.types.is_list(column.type)
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        "dataType": _data_type(kind.value_type if repeated else kind),
        "source": {
            "fileSet": {"@id": f"{table.name}-files"},
            "extract": {"column": column.name},
        },
    }
    if repeated:
        field |= {"isArray": True, "arrayShape": "-1"}
    return field


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Text"
