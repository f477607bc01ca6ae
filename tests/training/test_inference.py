"""Loading models of every kind, running them, and writing predictions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from tests.training.fakes import FakeDatabase, tags_of, tiny_recipe

from mlimages.errors import CheckpointError, InputError
from mlimages.metrics.results import Negatives
from mlimages.models.interface import run_batches
from mlimages.models.network import TagNetwork
from mlimages.schemas import PREDICTIONS
from mlimages.selection import KnownAbsences
from mlimages.training.evaluation import Vocabulary, evaluate
from mlimages.training.inference import (
    LoadedModel,
    choose_device,
    load_model,
)
from mlimages.training.loop import train
from mlimages.training.prediction import predict


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(FakeDatabase(), tiny_recipe("schedule.epochs=8", "loss.name=bce"), out)
    return out


def photos(count: int = 5) -> list[np.ndarray]:
    reader = FakeDatabase().reader()
    return [reader.image(row) for row in range(40, 40 + count)]


def test_a_run_and_its_checkpoint_are_the_same_model(run: Path) -> None:
    model = load_model(run)
    batch = np.stack([model.preprocess(photo) for photo in photos()])
    assert batch.shape == (5, 3, 32, 32)
    assert batch.dtype == np.float32
    assert -1 <= batch.min() < batch.max() <= 1
    probabilities = model.probabilities(batch)
    assert probabilities.shape == (5, 4)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert model.features(batch).shape == (5, model.feature_dim) == (5, 128)
    (checkpoint,) = (run / "checkpoints").iterdir()
    np.testing.assert_array_equal(load_model(checkpoint).probabilities(batch), probabilities)


def test_outputs_equal_the_network_run_by_hand(run: Path) -> None:
    model = load_model(run)
    assert isinstance(model.module, TagNetwork)
    assert not model.module.training
    (photo,) = photos(1)
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        expected = torch.sigmoid(model.module((x / 255 - 0.5) * 2))
    batch = model.preprocess(photo)[None]
    np.testing.assert_allclose(model.probabilities(batch), expected, rtol=1e-4, atol=1e-6)


def test_categories_have_keys_names_and_parents(run: Path) -> None:
    model = load_model(run)
    assert [category.key for category in model.categories] == ["scene", "red", "green", "blue"]
    assert model.categories[3].name == "Blue"
    assert model.categories[3].parents == ("scene",)
    assert model.activation == "sigmoid"


def test_an_untrained_model_has_the_same_shape_and_always_the_same_weights(run: Path) -> None:
    trained, one, other = (
        load_model(run),
        load_model(f"untrained:{run}"),
        load_model(f"untrained:{run}"),
    )
    batch = np.stack([trained.preprocess(photo) for photo in photos()])
    np.testing.assert_array_equal(one.features(batch), other.features(batch))
    assert one.features(batch).shape == trained.features(batch).shape
    assert not np.allclose(one.features(batch), trained.features(batch))


def test_batches_do_not_change_results(run: Path) -> None:
    model = load_model(run)
    together = np.concatenate(list(run_batches(model, photos(), model.features, 5)))
    apart = list(run_batches(model, photos(), model.features, 2))
    assert [len(part) for part in apart] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate(apart), together, rtol=1e-4, atol=1e-5)


def test_predictions_are_a_sorted_table_of_what_is_probable(run: Path) -> None:
    db, model = FakeDatabase(), load_model(run)
    selection = db.select("validation")
    table = predict(model, db, selection, minimum_probability=0.3, batch_size=7)
    assert table.schema == PREDICTIONS
    pairs = list(zip(table["row"].to_pylist(), table["category"].to_pylist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert min(table["probability"].to_pylist()) >= 0.3
    batch = np.stack([model.preprocess(db.reader().image(row)) for row in selection.rows])
    assert table.num_rows == (model.probabilities(batch) >= 0.3).sum()


def test_evaluation_counts_categories_without_an_output(run: Path) -> None:
    db, model = FakeDatabase(), load_model(run)
    selection = db.select("validation")
    selection.categories[selection.categories == 3] = 4  # "never" was no output
    vocabulary = Vocabulary.of(db, db.select("train"))
    report = evaluate(model, db.reader(), vocabulary, selection, 1, batch_size=6)
    assert report.keys == ("scene", "red", "green", "blue", "never")
    assert np.isnan(report.model.average_precision[3])
    prevalence = (selection.categories == 4).mean() * len(selection.categories) / 20
    assert report.model.average_precision[4] == pytest.approx(prevalence)
    assert report.baseline.average_precision[1] == pytest.approx(0.5)
    assert report.model.map_macro > report.baseline.map_macro


@pytest.mark.parametrize("kind", ["verified", "exhaustive"])
def test_known_negatives_are_those_that_somebody_told(run: Path, kind: Negatives) -> None:
    db, model = FakeDatabase(), load_model(run)
    selection = db.select("validation")
    known = dataclasses.replace(
        db.absences(selection),
        # The first image lacks all that is below a scene, but what it is tagged with.
        indptr=np.minimum(np.arange(21), 3),
        categories=np.array([0, 3, 2], np.int32),
    )
    truth = [set(tags_of(row)) for row in selection.rows]
    if kind == "verified":
        absent = [{1, 2, 3}, {3}, {2}] + [set()] * 17
    else:
        absent = [{1} if row % 2 else set() for row in selection.rows.tolist()]
    images = np.stack([db.reader().image(int(row)) for row in selection.rows])
    scores = model.probabilities(np.stack([model.preprocess(image) for image in images]))
    expected = {}
    for category in range(4):
        judged = [category in truth[i] | absent[i] for i in range(20)]
        labels = [category in tags for tags in truth]
        if any(category in absent[i] - truth[i] for i in range(20)):
            expected[category] = (
                average_precision_score(np.array(labels)[judged], scores[judged, category]),
                np.mean(np.array(labels)[judged]),
            )
    vocabulary = Vocabulary.of(db, db.select("train"))
    report = evaluate(model, db.reader(), vocabulary, selection, 1, 6, negatives=kind, known=known)
    assert report.model.negatives == report.baseline.negatives == kind
    assert report.model.categories == len(expected) > 0
    for category, (ours, constant) in expected.items():
        assert report.model.average_precision[category] == pytest.approx(ours)
        assert report.baseline.average_precision[category] == pytest.approx(constant)
    assert report.model.map_macro == pytest.approx(np.mean([v for v, _ in expected.values()]))
    groups = report.parts()["by_depth"].values()
    assert sum(group["categories"] for group in groups) == len(expected)


@pytest.mark.parametrize("kind", ["verified", "exhaustive"])
def test_negatives_that_nobody_told_are_an_error(run: Path, kind: Negatives) -> None:
    db, model = FakeDatabase(), load_model(run)
    selection = db.select("validation")
    nothing = KnownAbsences(
        np.zeros(21, int), np.empty(0, np.int32), np.zeros(20, int), (np.empty(0, np.int32),)
    )
    vocabulary = Vocabulary.of(db, db.select("train"))
    arguments = (model, db.reader(), vocabulary, selection)
    with pytest.raises(InputError, match=rf"the {kind} negatives of the images") as caught:
        evaluate(*arguments, negatives=kind, known=nothing)
    assert "closed-world" in caught.value.action


def evaluate_on(db: FakeDatabase, model: LoadedModel) -> None:
    evaluate(model, db.reader(), Vocabulary.of(db, db.select("train")), db.select("validation"), 1)


def test_images_that_cannot_be_read_at_all_are_an_error_of_their_own(run: Path) -> None:
    db = FakeDatabase(broken=set(range(40, 60)))
    with pytest.raises(InputError, match=r"none of 20 can be read \(row 40: truncated\)"):
        evaluate_on(db, load_model(run))


def test_a_network_that_gives_no_numbers_is_named(run: Path) -> None:
    model = load_model(run)
    assert isinstance(model.module, TagNetwork)
    model.module.head.bias.data[1] = float("nan")
    with pytest.raises(InputError, match=r"run: its outputs are not finite"):
        evaluate_on(FakeDatabase(), model)


def test_a_model_of_another_vocabulary_is_refused(run: Path) -> None:
    db, model = FakeDatabase(), load_model(run)
    for number, category in enumerate(db.taxonomy.categories):
        category.key = f"other:{number}"
    with pytest.raises(InputError, match="shares no category"):
        evaluate_on(db, model)
    with pytest.raises(InputError, match="shares no category"):
        predict(model, db, db.select("validation"))


def test_what_is_no_model_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run or model; did you mean 'efficientnet-lite0'"):
        load_model("efficientnet-lite")
    with pytest.raises(InputError, match="holds no checkpoint"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a sealed checkpoint"):
        load_model(tmp_path)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InputError, match="no CUDA device"):
        choose_device("cuda")
    for unknown in ("gpu", "meta", "mps", "cuda:x", ""):
        with pytest.raises(InputError, match="unknown; use auto"):
            choose_device(unknown)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1").index == 1
    with pytest.raises(InputError, match="this machine has 2"):
        choose_device("cuda:2")
