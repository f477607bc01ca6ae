"""From a database and a recipe to what is trained, on what: the start of every kind of run."""

from __future__ import annotations

import torch

from mlimages.database import Database
from mlimages.errors import InputError, RecipeError
from mlimages.images.shard_cache import ShardCache
from mlimages.selection import KnownAbsences
from mlimages.taxonomy.hierarchy import Hierarchy
from mlimages.training.absences import OutputAbsences
from mlimages.training.data import TrainingData
from mlimages.training.distribution import Ranks
from mlimages.training.objective import OutputStatistics
from mlimages.training.recipe import Recipe
from mlimages.training.state import build_state, describe_categories, describe_model
from mlimages.training.tags import TagMatrix, choose_outputs, fingerprint


class Setup:
    """Data and an untrained network, as a recipe wants them.

    Args:
        db: a database with tags and packed images.
        recipe: all settings.
        ranks: the processes of the run.

    Raises:
        InputError: the split has no images, or no category has enough.
        RecipeError: a batch cannot be divided among the ranks, or the network cannot take images of
            an early size.

    Attributes:
        keys: the database's vocabulary.
        selection: the images that are trained on.
        outputs: vocabulary indices of the network's outputs.
        data, reader: the batches, and what reads images.
        state: the network, its loss and its optimizer.
        model: the content of model.json.
        fingerprint: changes when the same steps would see other images or tags.
    """

    def __init__(self, db: Database, recipe: Recipe, ranks: Ranks) -> None:
        self.db, self.recipe, self.ranks = db, recipe, ranks
        # What is trained on.
        self.keys = [category.key for category in db.taxonomy.categories]
        self.selection = db.select(split=recipe.data.split, part=recipe.data.part)
        self.outputs = choose_outputs(self.selection, recipe.data.minimum_images)
        hierarchy = db.taxonomy.hierarchy(db.rules.hierarchy)
        known = db.absences(self.selection) if recipe.loss.tells_absent_from_unknown else None
        tags = TagMatrix(self.selection, self.outputs, self._absences(known, hierarchy))
        where, most = recipe.data.cache, recipe.data.cache_gb
        self.reader = db.reader(ShardCache(where, most) if where else None)
        self.data = TrainingData(self.reader, self.selection, tags, recipe, ranks)
        # What is trained.
        self.statistics = OutputStatistics.of(
            tags.frequencies(), len(self.data), hierarchy, self.outputs
        )
        self.state = build_state(recipe, self.statistics, ranks.device)
        self._check_sizes()
        categories = describe_categories(db, self.outputs)
        self.model = describe_model(recipe, self.state.network, categories)
        self.fingerprint = fingerprint(self.selection, [self.keys[i] for i in self.outputs], known)
        self.fingerprint += self.data.order.fingerprint()

    def _absences(self, known: KnownAbsences | None, hierarchy: Hierarchy) -> OutputAbsences | None:
        if known is None:
            return None
        found = OutputAbsences(known, self.selection, hierarchy, self.outputs)
        if not found and self.recipe.loss.weight_of_unknown == 0:
            raise InputError(
                "the training images",
                "nothing is known to be absent from them, so that without unknown categories the "
                "loss would raise all scores",
                "set loss.unknown to weighted or negative",
            )
        return found

    def _check_sizes(self) -> None:
        """Some of timm's networks are built for one size of image: say so before training."""
        for size in self.recipe.data.early_sizes:
            try:
                with self.state.measured() as network, torch.no_grad():
                    network(torch.zeros((1, 3, size, size), device=self.ranks.device))
            except (AssertionError, RuntimeError, ValueError) as error:
                raise RecipeError(
                    "data.early_sizes",
                    f"{self.recipe.model.backbone} cannot take images of {size} pixels ({error})",
                    "leave it empty, or name a convolutional network",
                ) from None

    def connect(self) -> None:
        """Let the ranks exchange gradients from now on; called by all of them."""
        self.state.connect(self.ranks, self.recipe.hardware)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.state.network.parameters())
