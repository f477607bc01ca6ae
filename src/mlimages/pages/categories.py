"""One page a category: names, gloss, place in the hierarchy, counts, partners and photos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlimages.labels.derivation.explanation import HIDDEN
from mlimages.labels.statistics.tag_counts import TagCounts
from mlimages.labels.statistics.tag_pairs import Partner
from mlimages.pages.rendering import page_environment
from mlimages.progress import track
from mlimages.schemas import TAG_REASONS
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy

FOLDER = "categories"
SHOWN_CHILDREN = 40
SHOWN_SIBLINGS = 16


def page_name(key: str) -> str:
    """A file name for the page of a category's key: a key can hold any character."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"~{ord(found[0]):x}", key) + ".html"


@dataclass
class Atlas:
    """What the pages of all categories show.

    Attributes:
        taxonomy, hierarchy: the vocabulary, and the hierarchy that the tags follow.
        counts: of the whole database.
        shown: bool [categories]; the others are named nowhere and have no page.
        partners: see `tag_pairs.strongest_partners`.
        pair_images: number of images that the partners were counted on.
        examples: rows by category.
        photos: files by row, relative to the folder of all pages.
    """

    taxonomy: Taxonomy
    hierarchy: Hierarchy
    counts: TagCounts
    shown: NDArray[np.bool_]
    partners: dict[int, list[Partner]] = field(default_factory=dict)
    pair_images: int = 0
    examples: dict[int, list[int]] = field(default_factory=dict)
    photos: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_reason = self.counts.by_reason()
        self.sizes = self.by_reason.sum(axis=0)
        self.ranks = np.empty(len(self.sizes), np.int64)
        self.ranks[np.argsort(-self.sizes, kind="stable")] = np.arange(1, len(self.sizes) + 1)
        sources = sorted({name for group in self.counts.images for name in group.sources})
        splits = sorted({group.split for group in self.counts.images} - {""})
        self.by_source = {name: self.counts.of_source(name).sum(axis=0) for name in sources}
        self.by_split = {name: self.counts.of_split(name).sum(axis=0) for name in splits}
        self.images = self.counts.images.total()

    def view(self, category: int) -> dict[str, Any]:
        """The values that a category's page shows."""
        found, size = self.taxonomy.categories[category], int(self.sizes[category])
        parents = self.hierarchy.parents_of(category).tolist()
        siblings = {c for p in parents for c in self.hierarchy.children_of(p).tolist()}
        return {
            "names": list(found.names),
            "key": found.key,
            "gloss": found.gloss,
            "sensitive": found.sensitive,
            "images": size,
            "share": size / max(1, self.images),
            "rank": int(self.ranks[category]),
            "depth": self.hierarchy.depth(category),
            "below": len(self.hierarchy.descendants(category)),
            "reasons": list(zip(TAG_REASONS, self.by_reason[:, category].tolist(), strict=True)),
            "sources": self._bars(self.by_source, category),
            "splits": self._bars(self.by_split, category),
            "path": [self.link(c) for c in self.hierarchy.path(category)[:-1]],
            "parents": [self.link(c) for c in parents],
            "children": self._listed(self.hierarchy.children_of(category).tolist(), SHOWN_CHILDREN),
            "siblings": self._listed(list(siblings - {category}), SHOWN_SIBLINGS),
            "partners": [
                {**self.link(p.category), "together": p.together, "pmi": p.pmi}
                for p in self.partners.get(category, [])
                if self.shown[p.category]
            ],
            "photos": [
                self.photos[row] for row in self.examples.get(category, []) if row in self.photos
            ],
        }

    def link(self, category: int) -> dict[str, Any]:
        """Name, page and images of a category; of a hidden one only that it is there."""
        if not self.shown[category]:
            return {"name": HIDDEN, "page": None, "images": None}
        found = self.taxonomy.categories[category]
        size = int(self.sizes[category])
        return {"name": found.names[0], "page": page_name(found.key), "images": size}

    def _bars(self, counts: dict[str, NDArray[np.int64]], category: int) -> list[tuple[str, int]]:
        return [(name, int(of[category])) for name, of in counts.items() if of[category]]

    def _listed(self, categories: list[int], most: int) -> dict[str, Any]:
        """The shown ones with the most images, and how many more there are."""
        shown = sorted((c for c in categories if self.shown[c]), key=lambda c: self.ranks[c])
        first = [self.link(c) for c in shown[:most]]
        return {
            "with_images": [link for link in first if link["images"]],
            "without_images": [link for link in first if not link["images"]],
            "all": len(categories),
            "more": len(shown) - len(first),
            "hidden": len(categories) - len(shown),
        }


def write_category_pages(atlas: Atlas, folder: Path) -> int:
    """Write `categories/KEY.html` for every category that is shown; returns how many."""
    template = page_environment().get_template("category.html")
    (folder / FOLDER).mkdir()
    shown = np.flatnonzero(atlas.shown).tolist()
    for category in track(shown, "writing pages", unit="pages"):
        text = template.render(
            category=atlas.view(category),
            categories=len(atlas.taxonomy),
            pair_images=atlas.pair_images,
        )
        name = page_name(atlas.taxonomy.keys[category])
        (folder / FOLDER / name).write_text(text, encoding="utf-8")
    return len(shown)


def search_entries(atlas: Atlas) -> Iterator[tuple[str, str, str, int]]:
    """(page, names, key, images) of every category that is shown, the most frequent first."""
    for category in np.argsort(atlas.ranks).tolist():
        if atlas.shown[category]:
            found = atlas.taxonomy.categories[category]
            yield page_name(found.key), found.name, found.key, int(atlas.sizes[category])
