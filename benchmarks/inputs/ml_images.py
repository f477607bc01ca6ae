"""Label lists of the size and shape of Tencent ML-Images, drawn on the real hierarchy.

One part with one tag an image over 10,032 categories, as long-tailed as ImageNet's counts of Fall
2011; one with several tags over 1,134 others, with Zipf's law; and a network's predictions for the
first.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlimages.labels.predicted_rows import record_rows
from mlimages.schemas import FACTS, PREDICTIONS
from mlimages.taxonomy.categories import Taxonomy

SINGLE, MULTI = 10_706_941, 6_902_811  # the training images of the release
CAUSES, EFFECTS = 10_032, 1_134
TAGS = 4.15  # of an image with several, a few of them drawn twice: 38 million raw tags in all
CHUNK = 1 << 19
CONFIDENCES = np.array([0.8, 0.9, 1.0], np.float32)
SHARES = (0.21, 0.16, 0.63)  # of the confidences in the released sample
_COUNTS = "metadata/imagenet_fall11_synset_counts.csv"


@dataclass(frozen=True)
class Inputs:
    """Facts and predictions; rows 0..single - 1 are the images with one tag.

    Attributes:
        facts: row, category and confidence of schemas.FACTS, by row.
        predictions: schemas.PREDICTIONS, by row, then category; of the images with one tag.
        single, images: numbers of images.
        single_counts: images of each category of the first part, by category.
    """

    facts: pa.Table
    predictions: pa.Table
    single: int
    images: int
    single_counts: np.ndarray

    def whole_facts(self) -> pa.Table:
        """The same as schemas.FACTS."""
        size = self.facts.num_rows
        names = pa.DictionaryArray.from_arrays(
            pa.array((self.facts["row"].to_numpy() >= self.single).astype(np.int8)),
            pa.array(["imagenet", "openimages"]),
        )
        return pa.table(
            {
                "row": self.facts["row"],
                "category": self.facts["category"],
                "source": names.cast(pa.string()),
                "present": np.ones(size, dtype=bool),
                "confidence": self.facts["confidence"],
                "kind": pa.repeat(pa.scalar("asserted"), size),
            },
            schema=FACTS,
        )


def draw(taxonomy: Taxonomy, scale: float, seed: int = 6) -> Inputs:
    """Draw a share of the whole, `scale` in (0, 1]."""
    rng = np.random.default_rng(seed)
    weights = _long_tail(taxonomy)
    causes = np.sort(np.argsort(-weights, kind="stable")[:CAUSES])
    effects = np.setdiff1d(np.arange(len(taxonomy)), causes)[:EFFECTS].astype(np.int32)
    single, multi = int(SINGLE * scale), int(MULTI * scale)
    counts = rng.multinomial(single, weights[causes] / weights[causes].sum())
    first = np.repeat(causes, counts).astype(np.int32)
    sizes = 1 + rng.poisson(TAGS - 1, multi)
    law = 1 / np.arange(1, EFFECTS + 1)
    chance = law[rng.permutation(EFFECTS)]
    several = _choose(rng, effects, chance, int(sizes.sum()))
    confidences = CONFIDENCES[rng.choice(3, len(several), p=SHARES)]
    rows = np.concatenate(
        [
            np.arange(single, dtype=np.int32),
            np.repeat(np.arange(multi, dtype=np.int32), sizes) + single,
        ]
    )
    keys = np.unique((rows[single:].astype(np.int64) << 24) | several, return_index=True)[1]
    facts = pa.table(
        {
            "row": np.concatenate([rows[:single], rows[single:][keys]]).astype(np.int32),
            "category": np.concatenate([first, several[keys]]),
            "confidence": np.concatenate([np.ones(single, np.float32), confidences[keys]]),
        }
    )
    by_category = np.zeros(len(taxonomy), np.int64)
    by_category[causes] = counts
    return Inputs(
        facts, _predict(rng, first, causes, effects, chance), single, single + multi, by_category
    )


def write_lists(inputs: Inputs, taxonomy: Taxonomy, folder: Path) -> None:
    """Write both parts as the release does, and the predictions as `mlimages predict` does."""
    with open(folder / "train_image_id_from_imagenet.txt", "wb") as file:
        numbers = [str(number) for number in range(int(inputs.single_counts.max()) + 1)]
        for category in np.flatnonzero(inputs.single_counts).tolist():
            head = f"{taxonomy.keys[category]}/{taxonomy.keys[category]}_"
            tail = f".JPEG\t{category}:1\n"
            lines = (tail + head).join(numbers[: inputs.single_counts[category]])
            file.write((head + lines + tail).encode())
    tags = pa.array([f"\t{c}:{x:.1g}" for c in range(len(taxonomy)) for x in CONFIDENCES.tolist()])
    facts = inputs.facts
    begin = np.searchsorted(facts["row"].to_numpy(), np.arange(inputs.single, inputs.images + 1))
    with open(folder / "train_urls_from_openimages.txt", "wb") as file:
        for first in range(0, len(begin) - 1, CHUNK):
            ends = begin[first : first + CHUNK + 1]
            part = facts.slice(ends[0], ends[-1] - ends[0])
            place = np.searchsorted(CONFIDENCES, part["confidence"].to_numpy())
            texts = tags.take(pa.array(part["category"].to_numpy().astype(np.int64) * 3 + place))
            lists = pa.ListArray.from_arrays(pa.array((ends - ends[0]).astype(np.int32)), texts)
            number = pa.array(np.arange(first, first + len(ends) - 1) + 4_000_000_000).cast(
                pa.string()
            )
            joined = pc.binary_join_element_wise(
                "https://c1.staticflickr.com/4/3", pc.utf8_slice_codeunits(number, 7), "/", number,
                "_0f3c9a51d2_o.jpg", pc.binary_join(lists, ""), "\n", "",
            )  # fmt: skip
            file.write(b"".join([memoryview(joined.buffers()[2])[: sum_of_lengths(joined)]]))
    rows = np.arange(inputs.single)
    pq.write_table(record_rows(inputs.predictions, rows), folder / "predictions.parquet")


def sum_of_lengths(strings: pa.StringArray) -> int:
    """Bytes of all strings of an array that begins at 0."""
    return int(np.frombuffer(strings.buffers()[1], np.int32)[len(strings)])


def _long_tail(taxonomy: Taxonomy) -> np.ndarray:
    """Relative numbers of images: the real ones where the file is, else Zipf's law."""
    path = Path(os.environ.get("MLIMAGES_DATA", "../shared/data"), _COUNTS)
    weights = np.zeros(len(taxonomy))
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as file:
            counts = {row["synid"]: float(row["urls"]) for row in csv.DictReader(file)}
        return np.array([counts.get(key, 0.0) for key in taxonomy.keys])
    order = np.random.default_rng(0).permutation(len(taxonomy))
    weights[order] = 1 / np.arange(1, len(taxonomy) + 1)
    return weights


def _choose(
    rng: np.random.Generator, values: np.ndarray, chance: np.ndarray, size: int
) -> np.ndarray:
    ends = np.cumsum(chance)
    return values[np.searchsorted(ends, rng.random(size) * ends[-1], side="right")]


def _predict(
    rng: np.random.Generator,
    first: np.ndarray,
    causes: np.ndarray,
    effects: np.ndarray,
    chance: np.ndarray,
) -> pa.Table:
    """Three effects an image; for a third of the causes, one of them on most of their images."""
    found = _choose(rng, effects, chance, 3 * len(first)).reshape(-1, 3)
    own = np.full(int(causes.max()) + 1, -1, np.int32)
    own[causes[::3]] = rng.choice(effects, len(causes[::3]))
    has = (own[first] >= 0) & (rng.random(len(first)) < 0.7)
    found[has, 0] = own[first[has]]
    found.sort(axis=1)
    probabilities = (0.05 + 0.95 * rng.random(found.shape) ** 0.1).astype(np.float32)
    likely = has[:, None] & (found == own[first][:, None])
    probabilities[likely] = np.maximum(probabilities[likely], np.float32(0.96))
    fresh = np.ones(found.shape, dtype=bool)
    fresh[:, 1:] = found[:, 1:] != found[:, :-1]
    rows = np.repeat(np.arange(len(first), dtype=np.int32), 3).reshape(-1, 3)
    return pa.table([rows[fresh], found[fresh], probabilities[fresh]], schema=PREDICTIONS)
