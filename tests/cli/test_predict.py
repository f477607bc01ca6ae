"""What `mlimages predict` writes down beside its predictions."""

from __future__ import annotations

import numpy as np
import torch
from tests.training.fakes import KEYS, FakeDatabase

from mlimages.labels.predicted_rows import ROWS_KEY
from mlimages.models.interface import ModelCategory
from mlimages.training.inference import LoadedModel
from mlimages.training.prediction import predict


def test_predictions_list_the_images_that_could_be_read() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, len(KEYS)))
    torch.nn.init.zeros_(network[1].weight)
    torch.nn.init.constant_(network[1].bias, -9.0)  # nothing is probable
    model = LoadedModel(
        name="improbable",
        categories=tuple(ModelCategory(key, key) for key in KEYS),
        activation="sigmoid",
        feature_dim=1,
        image_size=32,
        module=network,
        prepare=np.asarray,
    )
    db = FakeDatabase(broken={43})
    table = predict(model, db, db.select("validation"), batch_size=6)
    assert table.num_rows == 0
    assert table.schema.metadata == {ROWS_KEY: b"40-42 44-59"}
