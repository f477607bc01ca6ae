"""Pages over copies: groups of a database, and its images that are also in another set.

DIR/index.html        the groups, or the pairs side by side
DIR/duplicates.json   the report and what is shown (leaks.json for leaks)
DIR/leaks.tsv         every leaked image, for leaks
DIR/photos/           the images shown (outside/: the pictures of the other set)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from mlimages.database import Database
from mlimages.images.decoding import decode
from mlimages.images.duplicates import DuplicatesReport
from mlimages.images.duplicates.leaks import LeaksReport
from mlimages.images.duplicates.outside import Outside
from mlimages.images.duplicates.showing import (
    SHOWN,
    ShownImage,
    describe_images,
    sensitive_rows,
    show_groups,
)
from mlimages.labels.lookup import image_ids
from mlimages.pages.photos import SIDE, write_photos
from mlimages.pages.rendering import page_environment
from mlimages.storage import atomic_directory

EVIDENCE = {
    "md5": "same MD5, say the sources",
    "bytes": "same bytes",
    "perceptual": "shows the same photo",
}


@dataclass(frozen=True)
class ShownLeak:
    """An image and the picture outside, side by side."""

    image: ShownImage
    outside: str
    photo: str | None


def write_duplicates(
    db: Database,
    report: DuplicatesReport,
    folder: Path | str,
    limit: int = SHOWN,
    *,
    include_sensitive: bool = False,
) -> None:
    """Write the page of a database's duplicates into a new folder.

    Raises:
        InputError: the folder exists.
        MissingExtraError: jinja2 is not installed.
    """
    template = page_environment().get_template("duplicates.html")
    table = db.store.table("duplicates")
    shown = show_groups(db.store, table, limit, include_sensitive=include_sensitive)
    with atomic_directory(folder) as out:
        photos = write_photos(db.reader(), shown.rows(), out)
        page = template.render(report=report, shown=shown, photos=photos, evidence=EVIDENCE)
        _write(out, "duplicates.json", {**asdict(report), **asdict(shown)}, page)


def write_leaks(
    db: Database,
    report: LeaksReport,
    leaks: pa.Table,
    outside: Outside,
    folder: Path | str,
    limit: int = SHOWN,
    *,
    include_sensitive: bool = False,
) -> None:
    """Write the page of what `find_leaks` found into a new folder; raises as `write_duplicates`."""
    template = page_environment().get_template("leaks.html")
    hidden = set() if include_sensitive else sensitive_rows(db.store, leaks["row"].to_pylist())
    records = {one["row"]: one for one in leaks.to_pylist()}
    # What was found by its looks is worth a look first.
    rows = sorted(records.keys() - hidden, key=lambda row: records[row]["likeness"] or 2)[:limit]
    images = describe_images(db.store, rows, records)
    places = {name: place for place, name in enumerate(outside.names)}
    with atomic_directory(folder) as out:
        photos = write_photos(db.reader(), rows, out)
        (out / "outside").mkdir()
        shown = [
            ShownLeak(
                images[row],
                records[row]["outside"],
                _write_outside(outside, places[records[row]["outside"]], out),
            )
            for row in rows
        ]
        values = {"report": report, "shown": shown, "hidden": len(hidden)}
        page = template.render(**values, photos=photos, evidence=EVIDENCE)
        content = {**asdict(report), "shown": [asdict(one) for one in shown]}
        _write(out, "leaks.json", {**content, "hidden_sensitive": len(hidden)}, page)
        (out / "leaks.tsv").write_text(leaks_text(db, leaks), encoding="utf-8")


def leaks_text(db: Database, leaks: pa.Table) -> str:
    """Every leaked image as a line of TAB-separated values, with a header."""
    names = ["outside", "evidence", "distance", "likeness", "position"]
    lines = ["\t".join(["id", *names])]
    ids = image_ids(db.store, leaks["row"].to_numpy()) if leaks.num_rows else []
    for image, record in zip(ids, leaks.to_pylist(), strict=True):
        values = ["" if record[name] is None else str(record[name]) for name in names]
        values[0] = values[0].replace("\t", " ").replace("\n", " ")
        lines.append("\t".join([image, *values]))
    return "\n".join(lines) + "\n"


def _write_outside(outside: Outside, place: int, folder: Path) -> str:
    name = f"outside/{place}.jpg"
    picture = Image.fromarray(decode(outside.read(place), minimum_side=SIDE))
    picture.thumbnail((SIDE, SIDE))
    picture.save(folder / name, "JPEG", quality=84)
    return name


def _write(folder: Path, name: str, content: dict[str, Any], page: str) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / name).write_text(text, encoding="utf-8")
    for style in ("base.css", "pages.css"):
        source = resources.files("mlimages.pages") / "templates" / style
        (folder / style).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "index.html").write_text(page, encoding="utf-8")
