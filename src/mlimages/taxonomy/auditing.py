"""What a dictionary's forest loses against WordNet, counted and named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.dictionary import read_dictionary
from mlimages.taxonomy.parents import ParentReason, count_reasons, explain_parents
from mlimages.taxonomy.summary import ForestLosses, TaxonomySummary, find_losses, summarize


@dataclass(frozen=True)
class Audit:
    """What `mlimages taxonomy check` prints of a dictionary without faults.

    Attributes:
        summary: the figures.
        parents_as_derived: categories with the parent that WordNet alone gives them.
        parents_otherwise: the other categories from WordNet, by reason.
        named: the single ones behind the figures, each as texts by what they are.
        sensitive_hidden: entries left out of `named` since they name a sensitive category.
    """

    summary: TaxonomySummary
    parents_as_derived: int
    parents_otherwise: dict[ParentReason, int]
    named: dict[str, list[dict[str, str]]]
    sensitive_hidden: int


def audit(path: Path | str, include_sensitive: bool = False) -> Audit:
    """Count and name what the forest of a dictionary loses.

    Raises:
        InputError: as `read_dictionary`.
    """
    taxonomy = read_dictionary(path)
    summary, differences = summarize(taxonomy), explain_parents(taxonomy)
    named, hidden = _name(taxonomy, find_losses(taxonomy), include_sensitive)
    other = [d for d in differences if include_sensitive or not _sensitive(taxonomy, d.category)]
    named["parents_otherwise"] = [
        {
            "reason": difference.reason,
            "category": _called(taxonomy, difference.category),
            "given": _called(taxonomy, difference.given),
            "derived": _called(taxonomy, difference.derived),
        }
        for difference in other
    ]
    return Audit(
        summary=summary,
        parents_as_derived=summary.categories - summary.custom - len(differences),
        parents_otherwise=count_reasons(differences),
        named=named,
        sensitive_hidden=hidden + len(differences) - len(other),
    )


def _name(
    taxonomy: Taxonomy, losses: ForestLosses, include_sensitive: bool
) -> tuple[dict[str, list[dict[str, str]]], int]:
    """(the pairs and names by their figure, how many were left out)."""
    named: dict[str, list[dict[str, str]]] = {}
    hidden = 0
    for title, above in (
        ("pairs_lost_by_forest", "ancestor"),
        ("parents_outside_wordnet", "parent"),
        ("parents_after_child", "parent"),
    ):
        pairs = getattr(losses, title)
        shown = [p for p in pairs if include_sensitive or not _sensitive(taxonomy, *p)]
        hidden += len(pairs) - len(shown)
        named[title] = [
            {"category": _called(taxonomy, low), above: _called(taxonomy, high)}
            for low, high in shown
        ]
    named["shared_names"] = []
    for name, found in losses.shared_names.items():
        if include_sensitive or not _sensitive(taxonomy, *found):
            keys = " ".join(taxonomy.keys[index] for index in found)
            named["shared_names"].append({"name": name, "categories": keys})
        else:
            hidden += 1
    return named, hidden


def _sensitive(taxonomy: Taxonomy, *indices: int) -> bool:
    return any(taxonomy.categories[index].sensitive for index in indices)


def _called(taxonomy: Taxonomy, index: int) -> str:
    if index < 0:
        return "no parent"
    return f"{taxonomy.keys[index]} {taxonomy.categories[index].names[0]}"
