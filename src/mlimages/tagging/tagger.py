"""Tags for photos: names, confidences, and the path up the hierarchy.

tagger = Tagger(load_model("efficientnet-lite0"))
for photo in tagger.tag(find_photos(["holiday/"])):
    for tag in photo.tags:
        ...  # tag.name, tag.confidence, tag.path
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlimages.errors import InputError
from mlimages.images.photos import PhotoStream
from mlimages.models.interface import Model, run_batches
from mlimages.tagging.lifting import Lifting, most_specific_first, tag_space
from mlimages.taxonomy.categories import HierarchyMode, Taxonomy, released_taxonomy

NOTHING_NEW = 0.01


@dataclass(frozen=True)
class Tag:
    """One category found in a photo.

    Attributes:
        key: WordNet id, or namespace:key.
        name: all its names, most usual first: "dog, domestic dog, Canis familiaris".
        confidence: in [0, 1].
        path: one name for each category from a root down to this one, both included.
    """

    key: str
    name: str
    confidence: float
    path: tuple[str, ...]


@dataclass(frozen=True)
class PhotoTags:
    """The tags of one photo, most specific first.

    Attributes:
        path: the file.
        tags: empty when nothing reached the threshold.
        problem: why the file could not be read as a photo; None when it could.
    """

    path: Path
    tags: tuple[Tag, ...]
    problem: str | None = None


class Tagger:
    """Tags photos with any model; see `mlimages.tagging.lifting` for what confidences mean."""

    def __init__(
        self,
        model: Model,
        taxonomy: Taxonomy | None = None,
        *,
        hierarchy: HierarchyMode = "wordnet",
        threshold: float = 0.1,
        top: int = 10,
        all_levels: bool = False,
        include_sensitive: bool = False,
    ) -> None:
        """Prepare to tag.

        Args:
            model: from `load_model`.
            taxonomy: names, parents and sensitivity of categories; by default the released one.
            hierarchy: "wordnet" (all hypernyms, several parents) or "tencent" (the released tree).
            threshold: least confidence of a tag, in [0, 1].
            top: most tags of a photo; the most specific are kept.
            all_levels: show every ancestor. Otherwise one is left out when it stands in the path of
                a tag below it and is less than 0.01 surer than that one: it would say nothing new.
            include_sensitive: show categories of persons outside the reviewed roles too. They are
                otherwise left out, also from the paths of other tags.

        Raises:
            InputError: a threshold or number out of range.
        """
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}", "out of range", "use a value from 0 to 1")
        if top < 1:
            raise InputError(f"top {top}", "out of range", "use 1 or more")
        self.model = model
        self.threshold = threshold
        self.top = top
        self.all_levels = all_levels
        taxonomy = released_taxonomy() if taxonomy is None else taxonomy
        self._space = tag_space(model.categories, taxonomy, hierarchy)
        self._lift = Lifting(self._space, model.activation)
        everything = np.ones(len(self._space.keys), bool)
        self._shown = everything if include_sensitive else ~self._space.sensitive

    def tag(self, photos: Sequence[Path | str], batch_size: int = 32) -> list[PhotoTags]:
        """Tag photo files; the result has one entry a photo, in their order.

        Args:
            photos: files, such as `find_photos` lists. One that cannot be read gets an entry that
                says why.
            batch_size: photos given to the network at a time.
        """
        paths = [Path(photo) for photo in photos]
        stream = PhotoStream(paths, self.model.minimum_side, "tagging")
        tags = iter(list(self.tag_images(stream, batch_size)))
        problems = {reject.path: reject.reason for reject in stream.rejects}
        return [
            PhotoTags(path, (), problems[path]) if path in problems else PhotoTags(path, next(tags))
            for path in paths
        ]

    def tag_images(
        self, images: Iterable[np.ndarray], batch_size: int = 32
    ) -> Iterator[tuple[Tag, ...]]:
        """Tag decoded photos, RGB uint8 [height, width, 3] each; yields the tags of each."""
        for batch in run_batches(self.model, images, self.model.probabilities, batch_size):
            for probabilities in self._lift(batch):
                yield self.choose(probabilities)

    def choose(self, confidences: np.ndarray) -> tuple[Tag, ...]:
        """The tags to show for lifted confidences float64[categories], most specific first."""
        passed = np.flatnonzero((confidences >= self.threshold) & self._shown)
        order = most_specific_first(passed, confidences[passed], self._space.hierarchy)
        chosen: list[int] = []
        said: dict[int, float] = {}  # the surest tag so far whose path holds a category
        for category in passed[order].tolist():
            confidence = float(confidences[category])
            if confidence - said.get(category, -1.0) < NOTHING_NEW and not self.all_levels:
                continue
            if len(chosen) == self.top:
                break
            chosen.append(category)
            for above in self._space.hierarchy.path(category):
                said[above] = max(said.get(above, 0.0), confidence)
        return tuple(self._tag(category, float(confidences[category])) for category in chosen)

    def _tag(self, category: int, confidence: float) -> Tag:
        path = [i for i in self._space.hierarchy.path(category) if self._shown[i]]
        return Tag(
            key=self._space.keys[category],
            name=", ".join(self._space.names[category]),
            confidence=confidence,
            path=tuple(self._space.names[i][0] for i in path),
        )
