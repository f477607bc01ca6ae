"""What changed between two vocabularies; categories are matched by key, not by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.vocabulary import OpenedTaxonomy


@dataclass(frozen=True)
class Change:
    """A category that is in both, with what it was and what it is."""

    key: str
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class TaxonomyDifference:
    """From the first vocabulary to the second.

    Attributes:
        versions: of the first and the second.
        added: (key, name) pairs that only the second has, in its order.
        removed: pairs that only the first has, in its order.
        moved: categories with another parent; a parent is told by its key, a root by "".
        renamed: categories with other names.
        translated: categories with other names in other languages.
        renumbered: categories in both with another index, which label files depend on.
        sensitive_hidden: changes of sensitive categories that are not among the above.
    """

    versions: tuple[str, str]
    added: list[tuple[str, str]]
    removed: list[tuple[str, str]]
    moved: list[Change]
    renamed: list[Change]
    translated: list[Change]
    renumbered: int
    sensitive_hidden: int

    @property
    def equal(self) -> bool:
        """Whether the two are the same, numbers included."""
        lists = (self.added, self.removed, self.moved, self.renamed, self.translated)
        return not (any(lists) or self.renumbered or self.sensitive_hidden)


def compare(
    first: OpenedTaxonomy, second: OpenedTaxonomy, include_sensitive: bool = False
) -> TaxonomyDifference:
    """Compare two vocabularies category by category."""
    old, new = first.taxonomy, second.taxonomy
    both = [key for key in new.keys if old.get(key) is not None]
    changes = {
        "moved": _changes(both, _parents(old), _parents(new), new),
        "renamed": _changes(both, _names(old), _names(new), new),
        "translated": _changes(both, _translations(first), _translations(second), new),
    }
    added = [(c.key, c.name) for c in new.categories if old.get(c.key) is None]
    removed = [(c.key, c.name) for c in old.categories if new.get(c.key) is None]
    keys = [key for key, _ in (*added, *removed)]
    keys += [change.key for found in changes.values() for change in found]

    def shown(key: str) -> bool:
        holder = new if new.get(key) is not None else old
        return include_sensitive or not holder.categories[holder.index(key)].sensitive

    return TaxonomyDifference(
        versions=(first.version, second.version),
        added=[pair for pair in added if shown(pair[0])],
        removed=[pair for pair in removed if shown(pair[0])],
        **{name: [c for c in found if shown(c.key)] for name, found in changes.items()},
        renumbered=sum(old.index(key) != new.index(key) for key in both),
        sensitive_hidden=sum(not shown(key) for key in keys),
    )


def _changes(
    keys: Sequence[str], before: Mapping[str, str], after: Mapping[str, str], new: Taxonomy
) -> list[Change]:
    return [
        Change(key, new.categories[new.index(key)].name, before.get(key, ""), after.get(key, ""))
        for key in keys
        if before.get(key, "") != after.get(key, "")
    ]


def _parents(taxonomy: Taxonomy) -> dict[str, str]:
    return {
        key: taxonomy.keys[parent] if parent >= 0 else ""
        for key, parent in zip(taxonomy.keys, taxonomy.parents.tolist(), strict=True)
    }


def _names(taxonomy: Taxonomy) -> dict[str, str]:
    return {category.key: category.name for category in taxonomy.categories}


def _translations(opened: OpenedTaxonomy) -> dict[str, str]:
    return {key: opened.names.text(key) for key in opened.names.keys()}  # noqa: SIM118  no dictionary
