"""What the page shows of a database and a network: photos with their tags, as small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mlimages.database import Database
from mlimages.errors import MissingExtraError, require
from mlimages.labels.derivation.explanation import TagExplanation
from mlimages.labels.tags import COOCCURRENCE, Tags
from mlimages.quickstart.results import (
    Example,
    ExampleTag,
    PathTag,
    RealPhotos,
    Sample,
    SampleTag,
    TaggedPhoto,
)
from mlimages.selection import Selection
from mlimages.storage import atomic_file
from mlimages.tagging.tagger import Tagger
from mlimages.training.inference import LoadedModel, load_model
from mlimages.training.prediction import model_outputs, score_images

PICTURES = "pictures"
REAL_MODEL, REAL_NAME = "efficientnet-lite0", "EfficientNet-lite0"
REAL_PHOTOS = ("china.jpg", "flower.jpg")
SHOWN_ANCESTORS = 5
SHOWN_TAGS = 5


def tag_real_photos(folder: Path) -> RealPhotos:
    """Tag scikit-learn's two photos with real weights; says what is missing where something is."""
    try:
        images = Path(str(require("sklearn.datasets", extra="train").__file__)).parent / "images"
        photos = [images / name for name in REAL_PHOTOS if (images / name).is_file()]
        if not photos:
            return RealPhotos(REAL_NAME, 0, [], "scikit-learn's sample photos are not installed")
        model = load_model(REAL_MODEL)
    except MissingExtraError as error:
        return RealPhotos(REAL_NAME, 0, [], str(error))
    tagged = []
    for result in Tagger(model, top=4).tag(photos):
        with Image.open(result.path) as photo:
            picture = save_picture(np.asarray(photo.convert("RGB")), folder, result.path.stem, 640)
        tags = [PathTag(t.name, t.key, t.confidence, list(t.path)) for t in result.tags]
        tagged.append(TaggedPhoto(picture, result.path.name, tags))
    return RealPhotos(REAL_NAME, len(model.categories), tagged)


def save_picture(pixels: np.ndarray, folder: Path, name: str, side: int = 256) -> str:
    """Save RGB uint8 [height, width, 3], made smaller where a side is longer than `side` pixels.

    Returns:
        The file's path relative to `folder`.
    """
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side))
    relative = f"{PICTURES}/{name}.jpg"
    with atomic_file(folder / relative) as path:
        picture.save(path, "JPEG", quality=90, subsampling=0)
    return relative


def choose_samples(db: Database, count: int, seed: int) -> list[str]:
    """Ids of photos to show; the single-label half prefers those with co-occurring tags."""
    rng = np.random.default_rng(seed)
    images = db.store.table("images", ["id"])["id"].to_pylist()
    added = _rows_with_added_tags(db)
    chosen: list[int] = []
    for part in ("single", "multi"):
        rows = rng.permutation(db.select(split="train", part=part).rows)  # type: ignore[arg-type]
        preferred = [row for row in rows.tolist() if row in added] if part == "single" else []
        chosen += list(dict.fromkeys(preferred + rows.tolist()))[: count // 2]
    return [images[row] for row in chosen]


def explain_samples(db: Database, ids: list[str], folder: Path) -> list[Sample]:
    """Photos of the database with their tags and the reason of each; sensitive ones are hidden."""
    reader, samples = db.reader(), []
    names = {category.key: category.name for category in db.taxonomy.categories}
    for number, image in enumerate(ids):
        explained = db.explain(image)
        picture = save_picture(reader.image(explained.row), folder, f"sample-{number}")
        of = {
            reason: [tag for tag in explained.tags if tag.reason == reason]
            for reason in ("asserted", "cooccurrence", "ancestor")
        }
        hidden = len(of["ancestor"]) - SHOWN_ANCESTORS
        del of["ancestor"][SHOWN_ANCESTORS:]
        tags = [_sample_tag(tag, names) for group in of.values() for tag in group]
        if hidden > 0:
            tags.append(SampleTag(f"{hidden} more", 1.0, "ancestor", "up to the root"))
        samples.append(Sample(picture, image, ", ".join(explained.sources), tags))
    return samples


def _sample_tag(tag: TagExplanation, names: dict[str, str]) -> SampleTag:
    strongest = tag.supports[0]
    because = names[tag.because].split(",")[0]
    if tag.reason == "asserted":
        why = f"said by {strongest.source}"
    elif tag.reason == "ancestor":
        why = f"above {because}"
    else:
        counts = f"{strongest.predicted:,} of its {strongest.images:,} photos"
        why = f"co-occurs with {because}: seen on {counts}"
    return SampleTag(tag.name, tag.confidence, tag.reason, why)


def show_examples(
    model: LoadedModel, db: Database, count: int, seed: int, folder: Path
) -> list[Example]:
    """Validation photos with the network's surest tags among those that sources assert."""
    rng = np.random.default_rng(seed)
    selection = db.select(split="validation")
    positions = np.sort(rng.choice(len(selection), min(count, len(selection)), replace=False))
    rows = selection.rows[positions]
    shown = _asserted_categories(db)
    outputs, places = model_outputs(model, [category.key for category in db.taxonomy.categories])
    outputs, places = outputs[np.isin(places, shown)], places[np.isin(places, shown)]
    ids, reader = db.store.table("images", ["id"])["id"], db.reader()
    examples: list[Example] = []
    for found, scores in score_images(model, reader, rows, len(rows), []):
        for position, probabilities in zip(found.tolist(), scores[:, outputs], strict=True):
            row, place = int(rows[position]), int(positions[position])
            truth = _tags_at(selection, place) & set(shown)
            picture = save_picture(reader.image(row), folder, f"example-{len(examples)}")
            tags, missed = _judge(db, places, probabilities, truth)
            examples.append(Example(picture, ids[row].as_py(), tags, missed))
    return examples


def _judge(
    db: Database, places: np.ndarray, probabilities: np.ndarray, truth: set[int]
) -> tuple[list[ExampleTag], list[str]]:
    """The surest tags of one photo, right or wrong, and its tags that are not among them."""
    best = np.argsort(-probabilities, kind="stable")[:SHOWN_TAGS]
    names = [category.name for category in db.taxonomy.categories]
    tags = [
        ExampleTag(names[places[i]], float(probabilities[i]), int(places[i]) in truth) for i in best
    ]
    return tags, [names[i] for i in sorted(truth - set(places[best].tolist()))]


def _asserted_categories(db: Database) -> list[int]:
    """Categories that some source asserts, without the sensitive ones."""
    facts = db.store.table("facts", ["category", "present"])
    asserted = np.unique(facts["category"].to_numpy()[facts["present"].to_numpy()])
    return [i for i in asserted.tolist() if not db.taxonomy.categories[i].sensitive]


def _tags_at(selection: Selection, position: int) -> set[int]:
    part = slice(selection.indptr[position], selection.indptr[position + 1])
    return set(selection.categories[part].tolist())


def _rows_with_added_tags(db: Database) -> set[int]:
    tags = Tags.from_table(db.store.table("tags"))
    return set(tags.rows[tags.reasons == COOCCURRENCE].tolist())
