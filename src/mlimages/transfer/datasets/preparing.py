"""Getting a benchmark: its archives downloaded or taken from a folder, checked, unpacked, counted.

A download goes on where it stopped; nothing counts as there before its checksum is right, and
unpacking happens aside, so that what is in place is whole.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlimages.errors import InputError, nearest
from mlimages.progress import track
from mlimages.storage import PARTIAL, atomic_directory, storage_errors

_CHUNK = 1 << 20
_AGENT = {"User-Agent": "mlimages"}


@dataclass(frozen=True)
class Archive:
    """A published file: where it is, its MD5, and an archive inside it that is unpacked too."""

    url: str
    md5: str
    inner: str = ""

    @property
    def name(self) -> str:
        """Of the file."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Benchmark:
    """Archives, and how many files of which folders there are when all is well.

    Attributes:
        archives: empty where one has to ask for the data, and brings a folder.
        counts: files directly in each folder; `*` counts those of all folders below.
        root: what the recipes take, inside the unpacked folder.
        recipes: that use it.
    """

    archives: tuple[Archive, ...]
    counts: dict[str, int]
    root: str
    recipes: str


_VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
_CALTECH = "https://data.caltech.edu/records"
BENCHMARKS = {
    "voc2007": Benchmark(
        (
            Archive(
                f"{_VOC}/voc2007/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"
            ),
            Archive(f"{_VOC}/voc2007/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
        ),
        {"VOCdevkit/VOC2007/JPEGImages": 9963, "VOCdevkit/VOC2007/Annotations": 9963},
        "",
        "voc2007-detection-07, voc2007-multilabel",
    ),
    "voc2012": Benchmark(
        (
            Archive(
                f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"
            ),
        ),
        {"VOCdevkit/VOC2012/JPEGImages": 17125, "VOCdevkit/VOC2012/SegmentationClass": 2913},
        "",
        "voc2012-segmentation-*; with voc2007 in one folder also voc2007-detection-0712",
    ),
    "caltech101": Benchmark(
        (
            Archive(
                f"{_CALTECH}/mzrjq-6wc02/files/caltech-101.zip",
                "3138e1922a9193bfa496528edbbc45d0",
                "caltech-101/101_ObjectCategories.tar.gz",
            ),
        ),
        {"101_ObjectCategories/*": 9144},
        "101_ObjectCategories",
        "caltech256, caltech256-probe",
    ),
    "caltech256": Benchmark(
        (
            Archive(
                f"{_CALTECH}/nyy15-4j048/files/256_ObjectCategories.tar",
                "67b4f42ca05d46448c6bb8ecd2220f6d",
            ),
        ),
        {"256_ObjectCategories/*": 30607},
        "256_ObjectCategories",
        "caltech256, caltech256-probe",
    ),
    "imagenet": Benchmark(
        (), {"train/*": 1281167, "val/*": 50000}, "", "imagenet-*; ask at image-net.org"
    ),
    "coco2017": Benchmark(
        (), {"train2017": 118287, "val2017": 5000}, "", "coco-multilabel; from cocodataset.org"
    ),
}


@dataclass(frozen=True)
class Prepared:
    """A benchmark that is in place.

    Attributes:
        name: of the benchmark.
        data: what a recipe takes as --data.
        counts: files by folder, as they should be.
        recipes: that use it.
    """

    name: str
    data: str
    counts: dict[str, int]
    recipes: str


def prepare(name: str, out: Path | str, source: Path | str | None = None) -> Prepared:
    """Download or take a benchmark, and check it.

    Args:
        name: of BENCHMARKS.
        out: where it is to be; ARCHIVE files stay in OUT/archives, the data is in OUT/data.
        source: a folder that holds the archives, or the unpacked data, which is then only checked.

    Raises:
        InputError: unknown name; a file cannot be had, is damaged or missing; counts are wrong.
        StorageError: the disk is full; what was downloaded stays.
    """
    if name not in BENCHMARKS:
        raise InputError(f"data {name}", "no such benchmark", nearest(name, BENCHMARKS))
    benchmark, out = BENCHMARKS[name], Path(out)
    if source is not None and not Path(source).is_dir():
        raise InputError(source, "no such folder", "name a folder of archives or of the data")
    if source is not None and _looks_unpacked(benchmark, Path(source)):
        return _verified(name, Path(source))
    data = out / "data"
    if data.is_dir():
        return _verified(name, data)
    if not benchmark.archives:
        cause = "cannot be downloaded without asking"
        raise InputError(f"data {name}", cause, f"{benchmark.recipes}; then name it with --source")
    files = [_archive(archive, out / "archives", source) for archive in benchmark.archives]
    with atomic_directory(data) as folder:
        for archive, file in zip(benchmark.archives, files, strict=True):
            unpack(file, folder)
            if archive.inner:
                unpack(folder / archive.inner, folder)
    return _verified(name, data)


def download(url: str, path: Path, md5: str) -> None:
    """Fetch a file, going on where an earlier attempt stopped.

    Raises:
        InputError: the server cannot be reached, or what came is not the published file.
    """
    partial = path.with_name(path.name + PARTIAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url, headers={**_AGENT, "Range": f"bytes={have}-"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer, storage_errors(path):
            mode = "ab" if answer.status == 206 else "wb"  # a server may begin again
            with open(partial, mode) as file:
                for chunk in track(_chunks(answer), f"downloading {path.name}", unit="MB"):
                    file.write(chunk)
                missing = int(answer.headers.get("Content-Length", 0)) + have - file.tell()
            if mode == "ab" and missing > 0:
                raise ConnectionError(f"it ended {missing:,} bytes early")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing is left to fetch
            raise InputError(url, f"HTTP {error.code}", _by_hand(path)) from None
    except OSError as error:
        cause = f"cannot be reached ({getattr(error, 'reason', None) or error})"
        raise InputError(url, cause, f"run again to go on, or {_by_hand(path)}") from None
    if _md5(partial) != md5:
        partial.unlink()
        raise InputError(url, "what came is not the published file", "run again")
    with storage_errors(path):
        os.replace(partial, path)


def unpack(file: Path, folder: Path) -> None:
    """Unpack a tar or a zip; members that lead outside are refused.

    Raises:
        InputError: the file is neither, or damaged.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
        else:
            with tarfile.open(file) as archive_:
                archive_.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(file, f"cannot be unpacked ({error})", "get the archive again") from None


def _archive(archive: Archive, folder: Path, source: Path | str | None) -> Path:
    brought = Path(source) / archive.name if source is not None else None
    if brought is not None:
        if not brought.is_file():
            raise InputError(brought, "no such file", f"get it from {archive.url}")
        if _md5(brought) != archive.md5:
            raise InputError(brought, "is not the published file", f"get it from {archive.url}")
        return brought
    path = folder / archive.name
    if not path.is_file():
        download(archive.url, path, archive.md5)
    return path


def _looks_unpacked(benchmark: Benchmark, source: Path) -> bool:
    return any((source / folder.rstrip("/*")).is_dir() for folder in benchmark.counts)


def _verified(name: str, data: Path) -> Prepared:
    benchmark = BENCHMARKS[name]
    for folder, expected in benchmark.counts.items():
        place = data / folder.rstrip("/*")
        if not place.is_dir():
            raise InputError(place, "no such folder", "unpack the archives again")
        found = _count(place, folder.endswith("*"))
        if found != expected:
            cause = f"holds {found:,} files, not {expected:,}"
            action = "unpack the archives again"
            raise InputError(place, cause, action)
    return Prepared(name, str(data / benchmark.root), benchmark.counts, benchmark.recipes)


def _count(place: Path, below: bool) -> int:
    folders = [entry for entry in os.scandir(place) if entry.is_dir()] if below else [place]
    return sum(1 for folder in folders for entry in os.scandir(folder) if entry.is_file())


def _chunks(answer: object) -> Iterator[bytes]:
    while chunk := answer.read(_CHUNK):  # type: ignore[attr-defined]
        yield chunk


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _by_hand(path: Path) -> str:
    return f"get {path.name} where there is a network and name its folder with --source"
