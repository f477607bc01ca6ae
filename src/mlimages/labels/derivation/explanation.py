"""Why an image has each of its tags: every fact, category below, and cause that supports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from mlimages.errors import InputError
from mlimages.labels.derivation.rules import Rules
from mlimages.labels.facts import present_facts
from mlimages.labels.sparse import upward
from mlimages.schemas import TAG_REASONS
from mlimages.store import Store
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.hierarchy import Hierarchy

HIDDEN = "(sensitive)"
_TAG_COLUMNS = ("categories", "confidences", "reasons", "because")


@dataclass(frozen=True)
class Support:
    """One reason for a tag.

    Attributes:
        reason: "asserted", "ancestor" or "cooccurrence".
        key, name: the category it comes from: the tag's own, one below it, or the cause.
        confidence: what it gives the tag.
        source, kind: who asserted it and how; for "asserted" only.
        edges: length of the shortest path up; for "ancestor" only.
        images, predicted, ratio: the evidence of the pair; for "cooccurrence" only.
    """

    reason: str
    key: str
    name: str
    confidence: float
    source: str | None = None
    kind: str | None = None
    edges: int | None = None
    images: int | None = None
    predicted: int | None = None
    ratio: float | None = None

    def text(self) -> str:
        """The support in words."""
        if self.reason == "asserted":
            return f"{self.kind} by {self.source}, confidence {self.confidence:.2g}"
        who = f"{self.name} ({self.key})"
        if self.reason == "ancestor":
            steps = "1 step" if self.edges == 1 else f"{self.edges} steps"
            return f"{who} lies {steps} below it, confidence {self.confidence:.2g}"
        return (
            f"co-occurs with {who}: predicted on {self.predicted:,} of its {self.images:,} images "
            f"({self.ratio:.0%})"
        )


@dataclass(frozen=True)
class Absence:
    """A category that a source says is not there."""

    key: str
    name: str
    source: str
    kind: str

    def text(self) -> str:
        """The absence in words."""
        return f"{self.name} ({self.key}): {self.kind} by {self.source}"


@dataclass(frozen=True)
class TagExplanation:
    """A tag and all its supports, the strongest first."""

    key: str
    name: str
    confidence: float
    reason: str
    because: str  # key of the category that supports it most
    supports: list[Support]
    contradictions: list[Absence]  # of the category or what is above it


@dataclass(frozen=True)
class Explanation:
    """An image with its tags, asserted ones first, and what is said to be absent."""

    id: str
    row: int
    sources: list[str]
    uris: list[str]
    tags: list[TagExplanation]
    absent: list[Absence]
    withdrawn: list[Support]  # present facts that a correction outranks
    hidden_sensitive: int  # tags and absences of sensitive categories, not shown

    def lines(self) -> list[str]:
        """The explanation as lines of text."""
        lines = [f"{self.id} from {', '.join(self.sources)}", *(f"  {uri}" for uri in self.uris)]
        for tag in self.tags:
            lines.append(f"{tag.name} ({tag.key}), confidence {tag.confidence:.2g}: {tag.reason}")
            lines += [f"    {support.text()}" for support in tag.supports]
            lines += [f"    against it: not {other.text()}" for other in tag.contradictions]
        lines += [f"not {absence.text()}" for absence in self.absent]
        lines += [f"withdrawn: {s.name} ({s.key}), {s.text()}" for s in self.withdrawn]
        if not self.tags:
            lines.append("no tags")
        if self.hidden_sensitive:
            lines.append(f"{self.hidden_sensitive} of sensitive categories are not shown")
        return lines


def explain_stored(store: Store, row: int, taxonomy: Taxonomy, rules: Rules) -> Explanation:
    """As `explain`, from a database with tags by these rules; only one partition is read."""
    partition = row // store.manifest.partition_rows
    tables = {
        name: store.table(name, partition=partition, where=pc.field("row") == row)
        for name in ("facts", "tags", "images")
    }
    return explain(
        row,
        taxonomy,
        taxonomy.hierarchy(rules.hierarchy),
        cooccurrence=store.table("cooccurrence"),
        causes=rules.cooccurrence_counts,
        **tables,
    )


def explain(
    row: int,
    taxonomy: Taxonomy,
    hierarchy: Hierarchy,
    *,
    facts: pa.Table,
    tags: pa.Table,
    cooccurrence: pa.Table,
    images: pa.Table,
    causes: Literal["asserted", "all"] = "asserted",
    include_sensitive: bool = False,
) -> Explanation:
    """Recompute every support of each tag of an image.

    Args:
        row: the image.
        taxonomy: names of the categories.
        hierarchy: the one that the tags were derived with.
        facts, tags, images: tables of the schemas of these names, at least what they hold of `row`.
        cooccurrence: schemas.COOCCURRENCE.
        causes: as `Rules.cooccurrence_counts`.
        include_sensitive: show sensitive categories too.

    Raises:
        InputError: there are no tags of the image.
    """
    own_facts, own_tags, own_images = (
        table.filter(pc.equal(table["row"], row)) for table in (facts, tags, images)
    )
    if own_tags.num_rows == 0:
        raise InputError(f"image of row {row}", "has no tags yet", "run: mlimages complete DB")
    tags_found, image = own_tags.to_pylist()[0], own_images.to_pylist()[0]
    hide = not include_sensitive
    known = set(tags_found["categories"])
    finder = _Finder(taxonomy, hierarchy, own_facts, known, cooccurrence, causes, hide)
    found = [
        TagExplanation(
            taxonomy.keys[category],
            taxonomy.categories[category].name,
            float(confidence),
            TAG_REASONS[reason],
            finder.names(because)[0],
            finder.supports(category),
            finder.contradictions(category),
        )
        for category, confidence, reason, because in sorted(
            zip(*(tags_found[name] for name in _TAG_COLUMNS), strict=True),
            key=lambda tag: (tag[2], -len(hierarchy.ancestors(tag[0])), tag[0]),
        )
        if not (hide and taxonomy.categories[category].sensitive)
    ]
    denied = own_facts.filter(pc.invert(own_facts["present"])).to_pylist()
    absent = [
        Absence(category.key, category.name, fact["source"], fact["kind"])
        for fact in denied
        for category in [taxonomy.categories[fact["category"]]]
        if not (hide and category.sensitive)
    ]
    withdrawn = finder.withdrawn()
    hidden = len(tags_found["categories"]) - len(found) + len(denied) - len(absent)
    return Explanation(
        image["id"], row, image["sources"], image["uris"], found, absent, withdrawn, hidden
    )


class _Finder:
    """Supports of one image's tags."""

    def __init__(
        self,
        taxonomy: Taxonomy,
        hierarchy: Hierarchy,
        facts: pa.Table,
        tags: set[int],
        pairs: pa.Table,
        causes: Literal["asserted", "all"],
        hide: bool,
    ) -> None:
        self.taxonomy, self.hide = taxonomy, hide
        self.above = upward(hierarchy)
        self.facts = facts.filter(facts["present"]).to_pylist()
        self.denied = facts.filter(pc.invert(facts["present"])).to_pylist()
        said = present_facts(facts, hierarchy)
        self.said = dict(zip(said.categories.tolist(), said.confidences.tolist(), strict=True))
        closed: dict[int, float] = {}
        for below, confidence in self.said.items():
            for category in self._at_or_above(below):
                closed[category] = max(closed.get(category, 0.0), confidence)
        self.causes = self.said if causes == "asserted" else closed
        acting = pc.is_in(pairs["cause"], pa.array(list(self.causes), pa.int32()))
        self.pairs = pairs.filter(acting).to_pylist()
        # A tag that is there without it has co-occurrence as further evidence only.
        self.added: dict[int, float] = {}
        for pair in self.pairs:
            effect, confidence = pair["effect"], self.causes[pair["cause"]]
            if effect in tags and effect not in closed:
                self.added[effect] = max(self.added.get(effect, 0.0), confidence)

    def supports(self, category: int) -> list[Support]:
        """All supports of a tag, the strongest first."""
        found = []
        for fact in self.facts:
            if fact["category"] == category and category in self.said:
                how = {"source": fact["source"], "kind": fact["kind"]}
                found.append(self._support("asserted", category, fact["confidence"], **how))
        for below, confidence in (self.said | self.added).items():
            edges = self._at_or_above(below).get(category, 0)
            if edges:
                found.append(self._support("ancestor", below, confidence, edges=edges))
        for pair in self.pairs:
            if pair["effect"] == category:
                cause = pair["cause"]
                evidence = {name: pair[name] for name in ("images", "predicted", "ratio")}
                support = self._support("cooccurrence", cause, self.causes[cause], **evidence)
                found.append(((category in self.added, *support[0][1:]), support[1]))
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [support for _, support in found]

    def contradictions(self, category: int) -> list[Absence]:
        """Facts that say the category, or one above it, is absent."""
        above = self._at_or_above(category)
        return [
            Absence(*self.names(fact["category"]), fact["source"], fact["kind"])
            for fact in self.denied
            if fact["category"] in above
        ]

    def withdrawn(self) -> list[Support]:
        """Present facts that a correction outranks, without those that must not be shown."""
        return [
            Support(
                "asserted",
                *self.names(fact["category"]),
                fact["confidence"],
                source=fact["source"],
                kind=fact["kind"],
            )
            for fact in self.facts
            if fact["category"] not in self.said
            and not (self.hide and self.taxonomy.categories[fact["category"]].sensitive)
        ]

    def _support(
        self, reason: str, category: int, confidence: float, **details: Any
    ) -> tuple[tuple, Support]:
        """A support behind what it is worth: whether it acts, then as in `rules.derive_tags`."""
        own, asserted = reason == "asserted", category in self.said
        worth = (True, own, asserted, confidence, -details.get("edges", 0), -category)
        return worth, Support(reason, *self.names(category), float(confidence), **details)

    def names(self, category: int) -> tuple[str, str]:
        """Key and name of a category, if they may be shown."""
        found = self.taxonomy.categories[category]
        return (HIDDEN, HIDDEN) if found.sensitive and self.hide else (found.key, found.name)

    def _at_or_above(self, category: int) -> dict[int, int]:
        """A category and its ancestors, with the edges between."""
        part = slice(self.above.indptr[category], self.above.indptr[category + 1])
        ancestors, edges = self.above.ancestors[part].tolist(), self.above.edges[part].tolist()
        return dict(zip(ancestors, edges, strict=True))
