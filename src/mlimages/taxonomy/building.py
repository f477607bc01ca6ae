"""Build a vocabulary from raw class lists: select, map, merge, hang up, number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlimages.errors import InputError
from mlimages.storage import sha256_file
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.class_lists import (
    Edits,
    ListedClass,
    OwnCategory,
    read_edits,
    read_imagenet_classes,
    read_names,
    read_openimages_classes,
    read_own_categories,
)
from mlimages.taxonomy.dictionary import read_dictionary
from mlimages.taxonomy.mapping import LabelMap, read_label_map
from mlimages.taxonomy.packaged import packaged
from mlimages.taxonomy.parents import derive_parents
from mlimages.taxonomy.selection import DropReason, SelectionRules, Why, select
from mlimages.taxonomy.vocabulary import Dropped, Label, Merged, Name, SourceName, Vocabulary
from mlimages.taxonomy.wordnet import wordnet

EDITS = "vocabulary_edits.tsv"  # packaged: what the authors of ML-Images decided by hand


@dataclass(frozen=True)
class Sources:
    """The files that a vocabulary is built from; each may be missing.

    Attributes:
        imagenet: synsets with numbers of images.
        openimages: MID, name, number of images.
        mapping: from the MIDs or names of Open Images to keys.
        edits: decisions; with ImageNet those of ML-Images' authors, unless given.
        own: categories outside WordNet.
        names: names in other languages.
        order: a dictionary whose categories keep their order, before all others: as long as none is
            removed they keep their numbers.
    """

    imagenet: Path | None = None
    openimages: Path | None = None
    mapping: Path | None = None
    edits: Path | None = None
    own: Path | None = None
    names: Path | None = None
    order: Path | None = None


@dataclass
class _Draft:
    """What the steps of `build_vocabulary` hand on; keys are wnids or namespace:key."""

    why: dict[str, Why] = field(default_factory=dict)
    parent_of_own: dict[str, str] = field(default_factory=dict)
    name_of_own: dict[str, str] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    unmapped: list[ListedClass] = field(default_factory=list)
    merged: list[Merged] = field(default_factory=list)


def build_vocabulary(
    sources: Sources, rules: SelectionRules | None = None, version: str = "1"
) -> Vocabulary:
    """Build a vocabulary; equal files, rules and version give an equal one.

    Raises:
        InputError: no class list, Open Images without a mapping, or a file that cannot be read.
    """
    rules = rules or SelectionRules()
    if sources.imagenet is None and sources.openimages is None:
        raise InputError("sources", "no class list", "name --imagenet, or --openimages, or both")
    if sources.openimages is not None and sources.mapping is None:
        cause = "its MIDs need a mapping to synsets"
        raise InputError(sources.openimages, cause, "name --mapping (see: mlimages taxonomy map)")
    imagenet = [] if sources.imagenet is None else read_imagenet_classes(sources.imagenet)
    edits = Edits()
    if sources.edits is not None or imagenet:
        edits = read_edits(sources.edits or packaged(EDITS))
    draft = _Draft()
    mapped = _map_openimages(draft, sources, rules)
    own = [] if sources.own is None else read_own_categories(sources.own)
    synsets = {key for key in mapped.values() if key in wordnet()}
    selection = select(imagenet, sorted(synsets), rules, edits)
    draft.why = dict(selection.taken)
    _hang_own(draft, own)
    _assign_labels(draft, imagenet, mapped, selection.dropped)
    _merge(draft, edits)
    names = [] if sources.names is None else read_names(sources.names)
    first = () if sources.order is None else read_dictionary(sources.order).keys
    files = {name: path for name, path in vars(sources).items() if path is not None}
    inputs = {name: {"file": p.name, "sha256": sha256_file(p)} for name, p in files.items()}
    return _finish(draft, names, first, {"inputs": inputs, "rules": vars(rules)}, version)


def _map_openimages(
    draft: _Draft, sources: Sources, rules: SelectionRules
) -> dict[ListedClass, str]:
    """The key of each Open Images class that has images enough and is in the mapping."""
    if sources.openimages is None or sources.mapping is None:
        return {}
    mapping: LabelMap = read_label_map(sources.mapping)
    mapped = {}
    for entry in read_openimages_classes(sources.openimages):
        line = mapping.mappings.get(entry.label) or mapping.mappings.get(entry.name)
        if entry.images < rules.openimages_minimum:
            draft.dropped.append(Dropped("openimages", entry, "few_images"))
        elif line is None:
            draft.unmapped.append(entry)
        else:
            mapped[entry] = line.wnid
    draft.unmapped.sort(key=lambda entry: (-entry.images, entry.label))
    return mapped


def _hang_own(draft: _Draft, own: Sequence[OwnCategory]) -> None:
    """Put each category of one's own under its parent, or make it one with a synset of its name.

    A parent that is not taken gives way to its nearest ancestor that is.

    Raises:
        InputError: nothing above the parent is in the vocabulary, or they are in a circle.
    """
    listed = {category.key: category for category in own}
    for category in own:
        draft.why[category.key] = "own"
        draft.name_of_own[category.key] = category.name
    for category in own:
        top, seen = category.parent, {category.key}
        while top in listed and top not in seen:
            seen.add(top)
            top = listed[top].parent
        if top in seen:
            raise InputError(category.key, "is above itself", "correct the parents")
        above = [top] if top in draft.why else sorted(wordnet().nearest_ancestors(top, draft.why))
        if not above:
            cause = f"nothing above its parent {top} is in the vocabulary"
            raise InputError(category.key, cause, "choose another parent, or keep it in the edits")
        same = _same_name(category.name, above[0], draft.why)
        if same is not None:
            draft.merged.append(Merged(category.key, same, "the same name, below its parent"))
        parent = category.parent if category.parent in listed else above[0]
        draft.parent_of_own[category.key] = parent


def _same_name(name: str, top: str, vocabulary: Mapping[str, Why]) -> str | None:
    """The one synset of a vocabulary, at or below another, that has a name."""
    nouns = wordnet()
    below = nouns.descendants(top) | {top}
    found = [wnid for wnid in nouns.synsets(name) if wnid in vocabulary and wnid in below]
    return found[0] if len(found) == 1 else None


def _assign_labels(
    draft: _Draft,
    imagenet: Sequence[ListedClass],
    mapped: Mapping[ListedClass, str],
    dropped: Mapping[str, DropReason],
) -> None:
    """Say of every class of a source where it went: into a category, or out."""
    targets: list[tuple[SourceName, ListedClass, str]] = []
    targets += [("imagenet", entry, entry.label) for entry in imagenet]
    targets += [("openimages", entry, key) for entry, key in mapped.items()]
    for source, entry, key in targets:
        if key in draft.why:
            draft.labels.append(Label(key, source, entry))
        elif key in dropped:
            draft.dropped.append(Dropped(source, entry, dropped[key]))
        else:
            raise InputError(key, "is mapped to, but nobody listed it", "add it to --own")


def _merge(draft: _Draft, edits: Edits) -> None:
    """Make categories one: by decision, or since the names are the same; labels move along."""
    by_decision = {key: into for key, into in edits.merge if key in draft.why}
    into_of = {**{entry.key: entry.into for entry in draft.merged}, **by_decision}
    for key in into_of:
        seen, into = {key}, into_of[key]
        while into in into_of and into not in seen:
            seen.add(into)
            into = into_of[into]
        if into in seen or into not in draft.why:
            cause = "in a circle" if into in seen else f"into {into}, which is not taken"
            raise InputError(key, f"is merged {cause}", "correct the edits")
        into_of[key] = into
    draft.merged = [
        Merged(key, into, "the edits" if key in by_decision else "the same name")
        for key, into in into_of.items()
    ]
    for key in into_of:
        del draft.why[key]
    draft.labels = [
        Label(into_of.get(label.key, label.key), label.source, label.listed)
        for label in draft.labels
    ]
    draft.parent_of_own = {
        key: into_of.get(parent, parent)
        for key, parent in draft.parent_of_own.items()
        if key not in into_of
    }


def _finish(
    draft: _Draft, names: Sequence[Name], first: Sequence[str], info: dict, version: str
) -> Vocabulary:
    """Hang all categories up and number them: those of `first`, then parents before children."""
    keys = sorted(draft.why, key=lambda key: (":" in key, key))
    if not keys:
        raise InputError("sources", "no class is left", "lower the minimum numbers of images")
    parents = derive_parents(keys, draft.parent_of_own)
    rank = {key: number for number, key in enumerate(first)}
    order = sorted(_preorder(parents), key=lambda old: rank.get(keys[old], len(rank)))
    place = {old: new for new, old in enumerate(order)}
    ordered = [keys[old] for old in order]
    own_names = [
        (draft.name_of_own[key],) if key in draft.name_of_own else wordnet().lemmas(key)
        for key in ordered
    ]
    new_parents = [place.get(parents[old], -1) for old in order]
    taxonomy = Taxonomy.from_keys(ordered, new_parents, own_names)
    held = [name for name in names if name[0] in draft.why]
    return Vocabulary(
        taxonomy=taxonomy,
        why=tuple(draft.why[key] for key in ordered),
        labels=tuple(sorted(draft.labels, key=lambda label: taxonomy.index(label.key))),
        names=tuple(held),
        dropped=tuple(draft.dropped),
        unmapped=tuple(draft.unmapped),
        merged=tuple(draft.merged),
        info={**info, "names_of_no_category": len(names) - len(held)},
        label=version,
    )


def _preorder(parents: Sequence[int]) -> list[int]:
    """Positions so that each comes after its parent, and siblings keep their order."""
    children: list[list[int]] = [[] for _ in range(len(parents) + 1)]
    for position, parent in enumerate(parents):
        children[parent].append(position)  # the last list is that of the roots, -1
    order: list[int] = []
    pending = children[-1][::-1]
    while pending:
        position = pending.pop()
        order.append(position)
        pending += children[position][::-1]
    return order
