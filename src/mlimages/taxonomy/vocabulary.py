"""A built vocabulary: its categories, where each came from, and its version; as a folder.

OUT/dictionary.tsv   the categories in the released form, for --dictionary
OUT/vocabulary.json  version, hashes of content and inputs, rules, counts
OUT/labels.tsv       which class of which source went into which category, with its images
OUT/names.tsv        names in other languages
OUT/dropped.tsv      which class was dropped, and why
OUT/unmapped.tsv     which class has no synset yet, most images first
OUT/merged.tsv       which key became one with which
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlimages.errors import InputError
from mlimages.storage import atomic_directory, sha256_file, write_text
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.class_lists import ListedClass
from mlimages.taxonomy.dictionary import read_dictionary, write_dictionary
from mlimages.taxonomy.faults import DICTIONARY
from mlimages.taxonomy.packaged import read_rows
from mlimages.taxonomy.selection import DropReason, Why
from mlimages.taxonomy.translations import NAMES_HEADER, Translations, read_translations

MANIFEST = "vocabulary.json"
LABELS_HEADER = "key\twhy\tsource\tlabel\tname\timages"
DROPPED_HEADER = "source\tlabel\tname\timages\treason"
UNMAPPED_HEADER = "label\tname\timages"
MERGED_HEADER = "key\tinto\treason"
Name = tuple[str, str, str]  # key, language, name
SourceName = Literal["imagenet", "openimages"]


@dataclass(frozen=True)
class Label:
    """A class of a source that went into a category."""

    key: str
    source: SourceName
    listed: ListedClass


@dataclass(frozen=True)
class Dropped:
    """A class of a source that went into none."""

    source: SourceName
    listed: ListedClass
    reason: DropReason


@dataclass(frozen=True)
class Merged:
    """A key that became one with another."""

    key: str
    into: str
    reason: str


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary with its history; `why` is by category index."""

    taxonomy: Taxonomy
    why: tuple[Why, ...]
    labels: tuple[Label, ...]
    names: tuple[Name, ...]
    dropped: tuple[Dropped, ...]
    unmapped: tuple[ListedClass, ...]
    merged: tuple[Merged, ...]
    info: dict[str, Any]
    label: str  # the version, as its maker calls it

    @property
    def version(self) -> str:
        """The maker's label and the start of the content's hash."""
        return f"{self.label}+{content_hash(self.taxonomy, self.names)[:12]}"

    def counts(self) -> dict[str, dict[str, int]]:
        """Categories by why they were taken, classes of sources by why they were dropped."""
        return {
            "categories": dict(sorted(Counter(self.why).items())),
            "dropped": dict(sorted(Counter(entry.reason for entry in self.dropped).items())),
            "other": {
                "labels": len(self.labels),
                "unmapped": len(self.unmapped),
                "merged": len(self.merged),
                "names": len(self.names),
            },
        }

    def write(self, folder: Path | str) -> None:
        """Write the folder, which must not exist.

        Raises:
            InputError: the folder exists, or a name that a table cannot hold.
            StorageError: the disk is full or not writable; nothing half-written is left.
        """
        with atomic_directory(folder) as out:
            write_dictionary(self.taxonomy, out / DICTIONARY)
            why = dict(zip(self.taxonomy.keys, self.why, strict=True))
            labelled = {label.key for label in self.labels}
            labels = [
                *((la.key, why[la.key], la.source, *_columns(la.listed)) for la in self.labels),
                *((key, why[key], "", "", "", "0") for key in why if key not in labelled),
            ]
            _write(out / "labels.tsv", LABELS_HEADER, labels)
            _write(out / "names.tsv", NAMES_HEADER, self.names)
            dropped = [(d.source, *_columns(d.listed), d.reason) for d in self.dropped]
            _write(out / "dropped.tsv", DROPPED_HEADER, dropped)
            _write(out / "unmapped.tsv", UNMAPPED_HEADER, map(_columns, self.unmapped))
            merged = [(entry.key, entry.into, entry.reason) for entry in self.merged]
            _write(out / "merged.tsv", MERGED_HEADER, merged)
            manifest = {
                "version": self.version,
                "content": content_hash(self.taxonomy, self.names),
                "files": {path.name: sha256_file(path) for path in sorted(out.iterdir())},
                **self.info,
                "counts": self.counts(),
            }
            write_text(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")


@dataclass(frozen=True)
class OpenedTaxonomy:
    """A taxonomy read from a folder or a plain dictionary, with what is known beside it.

    Attributes:
        taxonomy: the categories.
        version: the folder's, or the start of the content's hash.
        sources: key -> what each source calls it and how many images it has there.
        names: in other languages.
    """

    taxonomy: Taxonomy
    version: str
    sources: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    names: Translations = field(default_factory=Translations)


def open_taxonomy(path: Path | str) -> OpenedTaxonomy:
    """Open a folder that `Vocabulary.write` wrote, or a dictionary file.

    Raises:
        InputError: neither; or a file of the folder is missing, damaged or was changed since.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file():
        return describe_taxonomy(read_dictionary(path))
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        version, files = str(manifest["version"]), dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        cause = f"damaged ({error!r})"
        raise InputError(folder / MANIFEST, cause, "build the vocabulary again") from None
    for name in (DICTIONARY, "labels.tsv", "names.tsv"):
        if not (folder / name).is_file() or sha256_file(folder / name) != files.get(name):
            raise InputError(
                folder / name, f"not as version {version} has it", "build the vocabulary again"
            )
    sources: dict[str, list[dict[str, Any]]] = {}
    for _, (key, _, source, label, name, images) in read_rows(
        folder / "labels.tsv", LABELS_HEADER, "labels"
    ):
        if source:
            known = {"source": source, "label": label, "name": name, "images": int(images)}
            sources.setdefault(key, []).append(known)
    names = read_translations(folder / "names.tsv")
    return OpenedTaxonomy(read_dictionary(folder / DICTIONARY), version, sources, names)


def describe_taxonomy(taxonomy: Taxonomy) -> OpenedTaxonomy:
    """A taxonomy without a folder; its version is the start of its content's hash."""
    return OpenedTaxonomy(taxonomy, content_hash(taxonomy)[:12])


def content_hash(taxonomy: Taxonomy, names: Sequence[Name] = ()) -> str:
    """SHA-256 of all that makes two vocabularies the same: keys in order, parents, all names."""
    digest = hashlib.sha256()
    for category, parent in zip(taxonomy.categories, taxonomy.parents.tolist(), strict=True):
        line = (category.index, category.key, parent, category.names)
        digest.update(json.dumps(line).encode() + b"\n")
    for name in sorted(names):
        digest.update(json.dumps(name).encode() + b"\n")
    return digest.hexdigest()


def _columns(listed: ListedClass) -> tuple[str, str, str]:
    return listed.label, listed.name, str(listed.images)


def _write(path: Path, header: str, rows: Iterable[Sequence[str]]) -> None:
    lines = [header, *("\t".join(row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")
