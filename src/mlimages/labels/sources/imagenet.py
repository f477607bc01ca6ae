"""ImageNet and its relatives: one synset a photo.

Read wherever they lie in the folder, or in its `train`, `val` and `test`:

    n02084071/...JPEG             a folder of photos a synset, at any depth below it
    n02084071.tar                 a tar of photos a synset
    val.tar and val_labels.tsv    a tar of photos, and a table: member<TAB>wnid, without header
    n02084071_name.JPEG           photos named after their synset
"""

from __future__ import annotations

import re
from pathlib import Path

from mlimages.errors import InputError, UnknownCategoryError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import (
    SPLIT_FOLDERS,
    DamagedTarError,
    entries,
    files_below,
    has_image_name,
    lines_of,
    require_folder,
    split_of_name,
    stem,
    tar_members,
    tar_uri,
)
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.wordnet import wordnet

EXPECTED = "n########/ folders, n########.tar files, or NAME.tar with NAME_labels.tsv"
_WNID = re.compile(r"n\d{8}", re.ASCII)
_NAMED_AFTER = re.compile(r"(n\d{8})_", re.ASCII)


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "imagenet",
    split: str | None = None,
) -> Reading:
    """Read the photos of a folder in any of the layouts above.

    A synset outside the vocabulary goes to its nearest WordNet ancestors in it, with a note; where
    there is none, each of its photos is a reject.

    Args:
        path: the folder.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all photos; by default the folder's (train, val, test), else train.

    Raises:
        InputError: no such folder, or nothing of these layouts in it.
    """
    folder = require_folder(path, EXPECTED)
    reader = _Reader(taxonomy, source)
    reader.read_folder(folder, split or SPLIT_FOLDERS.get(folder.name))
    for part in entries(folder):
        if part.is_dir() and part.name in SPLIT_FOLDERS:
            reader.read_folder(part, split or SPLIT_FOLDERS[part.name])
    if not reader.found:
        raise InputError(folder, "holds nothing of ImageNet's layout", f"expected: {EXPECTED}")
    return reader.builder.build()


class _Reader:
    def __init__(self, taxonomy: Taxonomy, source: str) -> None:
        self.taxonomy = taxonomy
        self.builder = ReadingBuilder(source, "imagenet", single_label=True)
        self.found = False
        self.resolved: dict[str, tuple[int, ...] | str] = {}

    def read_folder(self, folder: Path, split: str | None) -> None:
        """Read all layouts that lie directly in a folder."""
        for entry in track(entries(folder), folder.name, unit="entries"):
            labels = entry.with_name(f"{entry.stem}_labels.tsv")
            named_after = _NAMED_AFTER.match(entry.name)
            if entry.is_dir():
                if _WNID.fullmatch(entry.name):
                    self._read_class_folder(entry, split)
                elif entry.name not in SPLIT_FOLDERS:
                    self.builder.note(f"{entry}: not named after a synset, not read")
            elif entry.suffix == ".tar":
                if _WNID.fullmatch(entry.stem):
                    self._read_tar(entry, split, entry.stem)
                elif labels.is_file():
                    self._read_labelled_tar(entry, labels, split or split_of_name(entry.stem))
                else:
                    self.found = True
                    self.builder.reject(str(entry), f"no {labels.name} beside it")
            elif named_after and has_image_name(entry):
                self._add(named_after[1], str(entry), str(entry), entry.name, split)
            elif has_image_name(entry):
                self.builder.reject(str(entry), "its name begins with no wnid")

    def _read_class_folder(self, folder: Path, split: str | None) -> None:
        self.found = True
        files = list(files_below(folder))
        for file in files:
            if has_image_name(file):
                self._add(folder.name, str(file), str(file), file.name, split)
            else:
                self.builder.reject(str(file), "not the name of an image")
        if not files:
            self.builder.note(f"{folder}: no photos")

    def _read_tar(self, archive: Path, split: str | None, wnid: str) -> None:
        for member in self._photos_in(archive):
            uri = tar_uri(archive, member)
            self._add(wnid, uri, uri, member, split)

    def _read_labelled_tar(self, archive: Path, labels: Path, split: str | None) -> None:
        wnids = self._read_labels(labels)
        for member in self._photos_in(archive):
            uri = tar_uri(archive, member)
            if member in wnids:
                self._add(wnids.pop(member)[0], uri, uri, member, split)
            else:
                self.builder.reject(uri, f"no row in {labels.name}")
        for member, (_, location) in wnids.items():
            self.builder.reject(location, f"no member {member} in {archive.name}")

    def _read_labels(self, labels: Path) -> dict[str, tuple[str, str]]:
        """Member -> (wnid, file:line); broken rows become rejects."""
        wnids: dict[str, tuple[str, str]] = {}
        for location, line in lines_of(labels):
            member, _, wnid = (line or "").partition("\t")
            if line is None:
                self.builder.reject(location, "not UTF-8 text")
            elif not member or not _WNID.fullmatch(wnid):
                self.builder.reject(location, f"{line!r} is not name<TAB>wnid")
            elif member in wnids:
                self.builder.reject(location, f"{member} was listed before")
            else:
                wnids[member] = (wnid, location)
        return wnids

    def _photos_in(self, archive: Path) -> list[str]:
        self.found = True
        names: list[str] = []
        if "::/" in str(archive):
            self.builder.reject(str(archive), "addresses of members cannot hold ::/ in its path")
            return names
        try:
            for member in tar_members(archive):
                if not member.isfile() or not has_image_name(member.name):
                    reason = "not the name of an image" if member.isfile() else "not a file"
                    self.builder.reject(tar_uri(archive, member.name), reason)
                else:
                    names.append(member.name)
        except DamagedTarError as error:
            rest = f"damaged after {len(names)} photos" if names else "cannot be read as a tar"
            self.builder.reject(str(archive), f"{rest} ({error})")
        return names

    def _add(self, wnid: str, location: str, uri: str, name: str, split: str | None) -> None:
        self.found = True
        categories = self.resolved.get(wnid)
        if categories is None:
            categories = self.resolved[wnid] = self._resolve(wnid)
        if isinstance(categories, str):
            return self.builder.reject(location, categories)
        image = self.builder.add_image(location, uri, stem(name), split=split)
        if image is not None:
            for category in categories:
                self.builder.add_fact(image, category)
        return None

    def _resolve(self, wnid: str) -> tuple[int, ...] | str:
        """The categories of a synset, or why there is none."""
        try:
            categories = self.taxonomy.lift(wnid)
        except UnknownCategoryError:
            return f"{wnid} is no category, nor a noun synset of WordNet 3.0"
        if not categories:
            return (
                f"{wnid} ({wordnet().name(wnid)}): neither it nor anything above it is a category"
            )
        if self.taxonomy.get(wnid) is None:
            above = " and ".join(self.taxonomy.categories[index].name for index in categories)
            name = wordnet().name(wnid)
            self.builder.note(f"{wnid} ({name}) is not in the vocabulary; taken as {above}")
        return categories
