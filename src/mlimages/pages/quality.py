"""`mlimages quality DB --out DIR`: the report as JSON, and a page with photos where packed.

DIR/index.html      contradictions, improbable pairs, doubtful and missing tags
DIR/quality.json    the same
DIR/photos/         the images named
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from mlimages.database import Database
from mlimages.labels.quality.examining import QualityReport
from mlimages.pages.photos import write_photos
from mlimages.pages.rendering import page_environment
from mlimages.storage import atomic_directory

KINDS = {
    "sources": ("Two sources disagree", "one says the category is there, another that it is not"),
    "ancestor": (
        "Under something absent",
        "a tag, and above it a category that is verified absent",
    ),
    "silence": (
        "Against a source that names all",
        "a tag that a source which is exhaustive for it, or for a category above it, does not name",
    ),
}


def write_quality(db: Database, report: QualityReport, folder: Path | str) -> None:
    """Write a report into a new folder.

    Raises:
        InputError: the folder exists.
        MissingExtraError: jinja2 is not installed.
    """
    template = page_environment().get_template("quality.html")
    with atomic_directory(folder) as out:
        photos = write_photos(db.reader(), report.rows(), out)
        text = json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n"
        (out / "quality.json").write_text(text, encoding="utf-8")
        for name in ("base.css", "pages.css"):
            style = resources.files("mlimages.pages") / "templates" / name
            (out / name).write_text(style.read_text(encoding="utf-8"), encoding="utf-8")
        page = template.render(report=report, photos=photos, kinds=KINDS)
        (out / "index.html").write_text(page, encoding="utf-8")
