"""Loading a model by its name or place, with whatever is installed to run it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mlimages.models.interface import Model

LITE = "efficientnet-lite0"


def load_model(spec: str | Path, device: str = "auto") -> Model:
    """Load a model.

    The packaged network runs on onnxruntime where that is installed and no other device than the
    processor is asked for: it starts in a second, and needs no torch. All others run on torch.

    Args:
        spec, device: as `training.inference.load_model`.

    Raises:
        InputError: there is no such model.
        CheckpointError: the run holds no intact checkpoint.
        MissingExtraError: what runs the model, or its weights, is not installed.
    """
    has_runtime = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    if str(spec) == LITE and device in ("auto", "cpu") and has_runtime:
        from mlimages.models.lite_onnx import LiteModel

        return LiteModel()
    from mlimages.training import inference

    return inference.load_model(spec, device)
