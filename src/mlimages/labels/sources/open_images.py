"""Open Images, V1 to V7: a folder of its CSV files, as they are or compressed.

    ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,
        OriginalSize,OriginalMD5,Thumbnail300KURL[,Rotation]     images (the last column since V4)
    ImageID,Source,LabelName,Confidence                          image-level labels
    ImageID,Source,LabelName,Confidence,XMin,...                 boxes
    /m/05wrt,property                                            names of classes, with or without
                                                                 a header LabelName,DisplayName

Files are told by their columns. Human-verified labels give verified facts, of presence or, with
confidence 0, of absence; labels of a machine give machine facts with its confidence; a box asserts
presence. Nothing is exhaustive: where no label stands, nothing was said.
"""

from __future__ import annotations

import base64
import binascii
import csv
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mlimages.errors import InputError
from mlimages.labels.identity import is_safe
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import SPLIT_FOLDERS, PhotoFinder, split_of_file
from mlimages.labels.sources.label_space import Meaning, find_label_map, label_meanings
from mlimages.labels.sources.open_images_labels import NEEDED, LabelReader
from mlimages.labels.sources.streams import absolute, files_of, name_of, read_lines, suffix_of
from mlimages.labels.sources.table_rows import delimited_rows
from mlimages.labels.streams import Readings, one_or_many
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.mapping import PACKAGED, LabelMap

EXPECTED = "the CSV files of Open Images, or one of them"
ORDER = ("images", "boxes", "labels")  # an image's own row comes first: it knows the split
_MID = re.compile(r"/[mgt]/\w+", re.ASCII)


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "open_images",
    split: str | None = None,
    label_map: str | Path | LabelMap | None = None,
    classes: Path | str | None = None,
    images: Path | str | None = None,
) -> Readings:
    """Read all files of a folder, or one file.

    A class without a category is named once, with the number of its labels. A row that cannot be
    read, or that names no image, is a reject; an impossible confidence is named, and its image
    stays. An image that a second file lists is the same image.

    Args:
        path: the folder, or a file.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all images; by default their Subset, else what the file or its folder is
            called after.
        label_map: from classes, by MID or by name, to synsets: a TSV, or the map.
        classes: the file of class names, when it is not in the folder.
        images: folder of photos ID.jpg, as they are offered for download.

    Raises:
        InputError: no such folder, none of these files in it, or no label map.
    """
    files = _by_kind(path)
    if label_map is None and "open_images" not in PACKAGED:
        raise InputError(
            "open_images", "its classes need a map to synsets", "name a TSV with --map"
        )
    map_ = find_label_map(label_map if label_map is not None else "open_images")
    descriptions = [absolute(classes)] if classes is not None else files["classes"]
    names = dict(row for file in descriptions for row in _class_names(file))
    if images is not None and not Path(images).is_dir():
        raise InputError(images, "no such folder", "name the folder of the photos")
    photos = PhotoFinder([Path(images).absolute()]) if images is not None else None
    builder = ReadingBuilder(source, "open_images")
    meaning = _by_mid_or_name(label_meanings(map_, taxonomy), names)
    return one_or_many(_chunks(files, builder, meaning, names, photos, split))


def _chunks(
    files: dict[str, list[str]],
    builder: ReadingBuilder,
    meaning: Callable[[str], Meaning | None],
    names: dict[str, str],
    photos: PhotoFinder | None,
    split: str | None,
) -> Iterator[Reading]:
    for file in files["images"]:
        yield from _read_images(file, builder, photos, split)
    find = _find_photo(photos if not files["images"] else None)
    labels = LabelReader(builder, meaning, find)
    for file in (*files["boxes"], *files["labels"]):
        yield from labels.read(file, _header(file), split or split_of_file(file))
    _name_unmapped(builder, labels.unmapped, names)
    if labels.mute:
        builder.note(
            f"{labels.mute:,} absences left out: of classes that are narrower than their category"
        )
    for file in files["other"]:
        builder.note(
            f"{file}: not a file of image-level labels, boxes, images or classes; not read"
        )
    yield builder.build()


def _by_kind(path: Path | str) -> dict[str, list[str]]:
    """The CSV files of a folder by what is in them."""
    kinds: dict[str, list[str]] = {kind: [] for kind in (*ORDER, "classes", "other")}
    found = files_of(path)
    for file in found:
        if suffix_of(file) == ".csv" or found == [absolute(path)]:
            kinds[_kind(_header(file))].append(file)
    if not any(kinds[kind] for kind in ORDER):
        raise InputError(path, "holds no file of Open Images", f"expected: {EXPECTED}")
    # What people verified outranks a machine where one image says a thing twice.
    kinds["labels"].sort(key=lambda file: "machine" in file)
    return kinds


def _header(file: str) -> list[str]:
    """The columns of a file, in lower case."""
    _, text, _ = next(iter(read_lines(file)), ("", "", ""))
    try:
        return [name.strip().lower() for name in next(csv.reader([text or ""]), [])]
    except csv.Error:
        return []


def _kind(header: list[str]) -> str:
    if {"imageid", "originalurl"} <= set(header):
        return "images"
    if set(NEEDED) - {"source"} <= set(header):
        return "boxes" if "xmin" in header else "labels"
    if len(header) == 2 and (header == ["labelname", "displayname"] or _MID.fullmatch(header[0])):
        return "classes"
    return "other"


def _class_names(file: str) -> Iterator[tuple[str, str]]:
    """(MID, name) of each class."""
    for _, values, _ in delimited_rows(file, 2, header=False):
        if values is not None and _MID.fullmatch(values[0]):
            yield values[0], values[1].strip()


def _by_mid_or_name(
    meanings: dict[str, Meaning], names: dict[str, str]
) -> Callable[[str], Meaning | None]:
    lower = {label.lower(): meaning for label, meaning in meanings.items()}

    @functools.cache
    def meaning(mid: str) -> Meaning | None:
        name = names.get(mid, "")
        return meanings.get(mid) or meanings.get(name) or lower.get(name.lower())

    return meaning


def _find_photo(photos: PhotoFinder | None) -> Callable[[str], str | None]:
    if photos is None:
        return lambda name: None
    find_place = photos.find
    found: set[str] = set()  # an image that comes again is listed by its id alone

    def find(name: str) -> str | None:
        if name in found:
            return None
        places = (f"{name}.jpg", *(f"{split}/{name}.jpg" for split in SPLIT_FOLDERS))
        place = next(filter(None, map(find_place, places)), None)
        if place is not None:
            found.add(name)
        return place

    return find


def _name_unmapped(builder: ReadingBuilder, unmapped: Counter[str], names: dict[str, str]) -> None:
    for mid, count in unmapped.most_common():
        name = f" ({names[mid]})" if mid in names else ""
        builder.reject_line(f"class {mid}", f"{count:,} labels: the class{name} has no category")
    if unmapped:
        builder.note(
            f"{unmapped.total():,} labels of {len(unmapped):,} classes without a category left out"
        )


def _read_images(
    file: str, builder: ReadingBuilder, photos: PhotoFinder | None, split: str | None
) -> Iterator[Reading]:
    """Read a file of images, giving out a reading whenever the builder is full."""
    header = _header(file)
    find = _find_photo(photos)
    for location, values, wrong in track(
        delimited_rows(file, len(header)), name_of(file), unit="images"
    ):
        if values is None:
            builder.reject(location, wrong)
            continue
        row = {name: value.strip() for name, value in zip(header, values, strict=True)}
        subset = SPLIT_FOLDERS.get(row.get("subset", ""))
        _add_image(builder, location, row, find, split or subset or split_of_file(file))
        if builder.is_full:
            yield builder.take()


def _add_image(
    builder: ReadingBuilder,
    location: str,
    row: dict[str, str],
    find: Callable[[str], str | None],
    split: str | None,
) -> None:
    name = row["imageid"]
    urls = [row.get(column, "") for column in ("originalurl", "thumbnail300kurl")]
    wrong = next((url for url in urls if url and not url.startswith(("http://", "https://"))), None)
    if not is_safe(name):
        return builder.reject(location, f"{name[:80]!r} is not an image's id")
    if builder.position_of(name) is not None:
        return builder.reject(location, f"image {name} was listed before")
    if wrong is not None:
        return builder.reject(location, f"{wrong[:200]}: not an http(s) URL")
    places = [place for place in (find(name), *urls) if place]
    image = builder.add_image(
        location,
        places[0] if places else None,
        name,
        place=row["originalurl"] or None,
        split=split,
        licence=row.get("license") or None,
        author=row.get("author") or None,
        landing_url=row.get("originallandingurl") or None,
        title=row.get("title") or None,
        bytes=_whole(row.get("originalsize", "")),
        md5=_md5(row.get("originalmd5", "")),
        rotation=_rotation(row.get("rotation", "")),
        more_uris=places[1:] or None,
    )
    if image is None:
        return None
    for column, value in (("originalsize", _whole), ("originalmd5", _md5), ("rotation", _rotation)):
        if row.get(column) and value(row[column]) is None:
            builder.reject_line(location, f"{column} {row[column][:80]!r} cannot be read")
    return None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _md5(text: str) -> str | None:
    """Hexadecimal digits of a checksum that is written in base 64."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 16 else None


def _rotation(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,3}(\.\d*)?", text, re.ASCII) else None
