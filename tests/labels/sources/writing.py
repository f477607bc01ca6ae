"""Small files for tests of the readers, and what a reading says of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from mlimages.labels.reading import Reading

PHOTO = b"\xff\xd8 readers do not look into photos"


def write(path: Path, content: str | bytes = PHOTO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_tar(path: Path, names: list[str], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(PHOTO)
            archive.addfile(member, io.BytesIO(PHOTO))
    return path


def tags(reading: Reading) -> dict[str, set[int]]:
    """id -> categories said to be present."""
    ids = reading.images["id"].to_pylist()
    found: dict[str, set[int]] = {name: set() for name in ids}
    for fact in reading.facts.to_pylist():
        if fact["present"]:
            found[ids[fact["image"]]].add(fact["category"])
    return found


def rejects(reading: Reading, root: Path) -> dict[str, str]:
    """Location below a folder -> reason."""
    return _by_place(reading.rejects.to_pylist(), root)


def line_rejects(reading: Reading, root: Path) -> dict[str, str]:
    """The same of annotations in images that were kept."""
    return _by_place(reading.line_rejects.to_pylist(), root)


def _by_place(rows: list[dict], root: Path) -> dict[str, str]:
    found = {row["location"].replace(f"{root}/", ""): row["reason"] for row in rows}
    assert len(found) == len(rows), "two rejects of one place"
    return found


def column(reading: Reading, name: str) -> list:
    return reading.images[name].to_pylist()
