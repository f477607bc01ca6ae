"""One file a foreign annotation format; each reads it into facts."""

from __future__ import annotations

from collections.abc import Callable

from mlimages.labels.sources import (
    coco,
    coco_yolo,
    huggingface,
    imagenet,
    lvis,
    open_images,
    table,
    tencent,
    tfrecord,
    voc,
    webdataset,
)
from mlimages.labels.streams import Readings

SOURCES: dict[str, Callable[..., Readings]] = {
    "tencent": tencent.read,
    "tfrecord": tfrecord.read,
    "imagenet": imagenet.read,
    "open_images": open_images.read,
    "coco": coco.read,
    "lvis": lvis.read,
    "coco_yolo": coco_yolo.read,
    "voc": voc.read,
    "huggingface": huggingface.read,
    "webdataset": webdataset.read,
    "table": table.read,
}
"""Format -> `read(path, taxonomy, *, source=..., split=..., ...)`."""

WITH_ANCESTORS = ("tencent", "tfrecord")
"""Formats whose images are meant to carry the ancestors of their tags."""
