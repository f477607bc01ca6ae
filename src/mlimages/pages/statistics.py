"""`mlimages statistics DB --out DIR`: figures as JSON and PNG, an index with search, and pages.

    DIR/index.html                  the paper's table and figures, and a search for categories
    DIR/statistics.json             the same figures
    DIR/images_per_category.png     the paper's first plot
    DIR/tags_per_image.png          the paper's second plot
    DIR/categories/n02084071.html   one page a category
    DIR/photos/                     example photos, where images are packed

All links are relative and nothing is loaded from elsewhere: the folder can be opened, copied or put
on any web server.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.database import Database
from mlimages.labels.statistics.summary import Statistics, compare_with_published, summarise
from mlimages.labels.statistics.tag_counts import count_tags
from mlimages.labels.statistics.tag_pairs import count_tag_pairs, strongest_partners
from mlimages.pages.categories import Atlas, search_entries, write_category_pages
from mlimages.pages.photos import choose_examples, write_photos
from mlimages.pages.plots import images_per_category, tags_per_image
from mlimages.pages.rendering import page_environment
from mlimages.storage import atomic_directory

SIZES_PLOT, TAGS_PLOT = "images_per_category.png", "tags_per_image.png"


@dataclass(frozen=True)
class PagesReport:
    """What was written."""

    folder: str
    pages: int
    hidden_categories: int
    photos: int


def write_statistics(
    db: Database,
    folder: Path | str,
    *,
    examples: int = 4,
    include_sensitive: bool = False,
) -> tuple[Statistics, PagesReport]:
    """Count a database and write the figures and pages into a new folder.

    Args:
        db: with current tags.
        folder: must not exist.
        examples: photos of a category, where images are packed.
        include_sensitive: also name sensitive categories, and show images with such tags.

    Raises:
        DatabaseError: there are no tags, or they are older than the facts.
        InputError: the folder exists.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    hierarchy = db.taxonomy.hierarchy(db.rules.hierarchy)
    sensitive = np.array([category.sensitive for category in db.taxonomy.categories], dtype=bool)
    shown = np.ones(len(sensitive), dtype=bool) if include_sensitive else ~sensitive
    environment = page_environment()  # what is missing is said before anything is counted
    with atomic_directory(folder) as out:
        counts = count_tags(db.store, len(db.taxonomy))
        counted = summarise(counts, db.taxonomy, hierarchy, db.store.table("sources"))
        pairs = count_tag_pairs(db.store, hierarchy)
        atlas = Atlas(db.taxonomy, hierarchy, counts, shown)
        atlas.partners, atlas.pair_images = strongest_partners(pairs, hierarchy), pairs.images
        _add_photos(atlas, db, ~shown, examples, out)
        images_per_category(counted.category_sizes).save(out / SIZES_PLOT)
        tags_per_image(counted.tag_counts).save(out / TAGS_PLOT)
        text = json.dumps(asdict(counted), indent=1, ensure_ascii=False) + "\n"
        (out / "statistics.json").write_text(text, encoding="utf-8")
        for name in ("base.css", "pages.css"):
            (out / name).write_text(_packaged(name), encoding="utf-8")
        (out / "index.html").write_text(_index(environment, atlas, counted), encoding="utf-8")
        pages = write_category_pages(atlas, out)
    hidden = int(np.count_nonzero(~shown))
    return counted, PagesReport(str(folder), pages, hidden, len(atlas.photos))


def _add_photos(
    atlas: Atlas, db: Database, hidden: NDArray[np.bool_], number: int, folder: Path
) -> None:
    reader = db.reader()
    if number and len(reader):
        atlas.examples = choose_examples(db.store, reader.rows, atlas.hierarchy, hidden, number)
        rows = {row for chosen in atlas.examples.values() for row in chosen}
        atlas.photos = write_photos(reader, rows, folder)


def _index(environment: Any, atlas: Atlas, counted: Statistics) -> str:
    script = _packaged("search.js")
    # The policy names the one script that may run by its checksum.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # In a script element only "</" could end it; JSON allows to write "<" as \u003c.
    entries = json.dumps(list(search_entries(atlas)), ensure_ascii=False).replace("<", "\\u003c")
    roots = sorted(atlas.hierarchy.roots.tolist(), key=lambda root: atlas.ranks[root])
    frequent = [c for c in np.argsort(atlas.ranks).tolist() if atlas.shown[c] and atlas.sizes[c]]
    return environment.get_template("statistics.html").render(
        counted=counted,
        table=compare_with_published(counted),
        roots=[atlas.link(root) for root in roots],
        frequent=[atlas.link(category) for category in frequent[:24]],
        hidden=int(np.count_nonzero(~atlas.shown)),
        script=script,
        script_hash=digest,
        entries=entries,
        plots=(SIZES_PLOT, TAGS_PLOT),
    )


def _packaged(name: str) -> str:
    return (resources.files("mlimages.pages") / "templates" / name).read_text(encoding="utf-8")
