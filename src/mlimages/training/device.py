"""Where a network runs, by name."""

from __future__ import annotations

import torch

from mlimages.errors import InputError


def choose_device(device: str) -> torch.device:
    """The torch device for "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        InputError: CUDA was asked for and is not available, or the name is unknown.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise InputError(f"device {device!r}", "unknown", "use auto, cpu or cuda")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r}", "no CUDA device is available", "use auto or cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        known = f"this machine has {torch.cuda.device_count()}, counted from 0"
        raise InputError(f"device {device!r}", known, "use cuda or cuda:0")
    return chosen
