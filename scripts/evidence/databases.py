"""The databases that the arms train on, all of tiny-imagenet's photos.

    single       its one label a photo, in a vocabulary without a hierarchy
    long-tail    all ancestors; of its classes the first keeps all training photos, the last 1 of 20
    removed      all ancestors, of which half were removed; some absences are known
    photos-S     with COCO128 and VOC 2012, completed by the teacher of seed S
    scenes-S     the quickstart's drawn scenes, completed likewise

The validation photos are the same in the first three, and keep all their tags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from mlimages.labels.reading import Reading
from mlimages.labels.sources import imagenet
from mlimages.labels.sparse import expand, upward
from mlimages.labels.streams import joined
from mlimages.quickstart import building
from mlimages.quickstart.learning import train_network
from mlimages.quickstart.plans import Plan, photos_plan, scenes_plan
from mlimages.quickstart.stages import Outcome
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy

TAIL_SHARE = 1 / 20  # of its photos that the rarest class keeps
REMOVED = 0.5  # share of the tags
KNOWN_ABSENT = 0.1  # share of the absences
UNUSED = "unused"  # the split of photos that the long tail leaves out


def flat(taxonomy: Taxonomy) -> Taxonomy:
    """The same categories without a hierarchy: no tag follows from another."""
    return Taxonomy(taxonomy.categories, np.full(len(taxonomy), -1))


def long_tailed(reading: Reading, seed: int = 0) -> Reading:
    """Keep fewer training photos of each class than of the one before it, in a shuffled order.

    Class k of n keeps the share TAIL_SHARE ** (k / (n - 1)), one at least; the others get a split
    that nobody trains on. As the long-tailed CIFAR of Cui et al., CVPR 2019.
    """
    splits = np.array(reading.images["split"].to_pylist(), dtype=object)
    image, category = (reading.facts[name].to_numpy() for name in ("image", "category"))
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.unique(category))
    for number, chosen in enumerate(classes):
        members = image[category == chosen]
        members = rng.permutation(members[splits[members] == "train"])
        share = TAIL_SHARE ** (number / max(1, len(classes) - 1))
        splits[members[max(1, round(share * len(members))) :]] = UNUSED
    place = reading.images.schema.get_field_index("split")
    images = reading.images.set_column(place, "split", pa.array(splits.tolist(), pa.string()))
    return dataclasses.replace(reading, images=images)


def with_tags_removed(reading: Reading, taxonomy: Taxonomy, seed: int = 0) -> Reading:
    """Complete the tags, then forget REMOVED of the training photos' and state some absences.

    Each tag goes by itself, an ancestor whether or not what is below it stays. Of the categories
    that a training photo truly lacks, among those that occur, KNOWN_ABSENT are said to be absent.
    For a vocabulary without a hierarchy, or the removed ancestors would come back.
    """
    table = upward(taxonomy.hierarchy("tencent"))
    owner, place = expand(table.indptr, reading.facts["category"].to_numpy())
    image, category = reading.facts["image"].to_numpy()[owner], table.ancestors[place]
    occurring, column = np.unique(category, return_inverse=True)
    # 22,000 photos x 500 categories: small enough to be dense.
    truth = np.zeros((reading.images.num_rows, len(occurring)), bool)
    truth[image, column] = True
    train = np.array(reading.images["split"].to_pylist()) == "train"
    rng = np.random.default_rng(seed)
    draws = rng.random(truth.shape)
    present = truth & ~(train[:, None] & (draws < REMOVED))
    absent = ~truth & train[:, None] & (draws < KNOWN_ABSENT)
    facts = [_facts(present, occurring, True), _facts(absent, occurring, False)]
    return dataclasses.replace(reading, facts=pa.concat_tables(facts), single_label=False)


def _facts(said: np.ndarray, categories: np.ndarray, present: bool) -> pa.Table:
    """READING_FACTS of bool [images, categories]."""
    image, column = np.nonzero(said)
    return pa.table(
        {
            "image": pa.array(image, pa.int32()),
            "category": pa.array(categories[column], pa.int32()),
            "present": pa.array(np.full(len(image), present)),
            "confidence": pa.array(np.ones(len(image)), pa.float32()),
            "kind": pa.array(["verified"] * len(image), pa.string()),
        }
    )


def build(name: str, root: Path, photos: Path) -> Outcome:
    """Build `single`, `long-tail` or `removed` at `root`, anew if an attempt was cut short."""
    full = released_taxonomy()
    reading = joined(imagenet.read(photos / "tiny-imagenet", full, source="tiny-imagenet"))
    taxonomy = full if name == "long-tail" else flat(full)
    if name == "long-tail":
        reading = long_tailed(reading)
    elif name == "removed":
        reading = with_tags_removed(reading, full)

    def read(_: Taxonomy) -> Iterator[Reading]:
        yield reading

    found = building.import_sources(root, read, taxonomy)
    building.pack(root)
    return Outcome(found.summary)


def complete(plan: Plan, root: Path, runs: Path) -> Outcome:
    """Build a plan's database, train its teacher, and add what it finds to co-occur.

    The figures are `quickstart.results.Cooccurrence`, under "cooccurrence". A teacher that was cut
    short is trained on; the rest takes seconds and is done anew.
    """
    if not (runs / plan.teacher.name).exists():
        if plan.prepare is not None and not plan.transfer.exists():
            plan.prepare()
        building.import_sources(root, plan.read)
        building.pack(root)
    train_network(root, plan.teacher, runs)
    return building.complete(root, runs / plan.teacher.name, plan.truth)


def plan_of(kind: str, seed: int, photos: Path, scenes: Path) -> Plan:
    """The quickstart's plan of "photos" or "scenes"; scenes are drawn into a folder."""
    return photos_plan(photos, seed) if kind == "photos" else scenes_plan(scenes, seed)
