"""Measuring a run's network on its validation split, every rank a part of the images."""

from __future__ import annotations

import logging

from mlimages.errors import MlimagesError
from mlimages.training.evaluation import EvaluationReport, Vocabulary, evaluate
from mlimages.training.inference import loaded_network
from mlimages.training.setup import Setup

logger = logging.getLogger(__name__)


class Validation:
    """The validation split of a run; without one nothing is measured, and a warning says so.

    Args:
        setup: of the run.
        name: that the model is called by in messages.
    """

    def __init__(self, setup: Setup, name: str) -> None:
        self.setup, self.name = setup, name
        self.settings = setup.recipe.evaluation
        self.selection, self.known = None, None
        if not self.settings.split:
            return
        try:
            self.selection = setup.db.select(self.settings.split, part=setup.recipe.data.part)
        except MlimagesError as error:
            logger.warning("%s: %s; training without evaluation", error.thing, error.cause)
            return
        if self.settings.negatives != "closed-world":
            self.known = setup.db.absences(self.selection)

    def measure(self, epoch: float) -> EvaluationReport | None:
        """Measure the network as it is now, at this epoch; None without a validation split."""
        setup = self.setup
        if self.selection is None:
            return None
        with setup.state.measured() as network:
            report = evaluate(
                loaded_network(self.name, network, setup.model, setup.ranks.device),
                setup.reader,
                Vocabulary.of(setup.db, setup.selection),
                self.selection,
                self.settings.minimum_positives,
                self.settings.batch_size,
                setup.ranks,
                self.settings.negatives,
                self.known,
            )
        metrics, baseline = report.model.summary(), report.baseline.summary()
        logger.info(
            "epoch %.2f  macro mAP %.4f (frequencies: %.4f) over %d categories",
            epoch,
            metrics["map_macro"],
            baseline["map_macro"],
            metrics["categories"],
        )
        return report
