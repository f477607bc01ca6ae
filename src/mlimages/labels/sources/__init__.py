"""One file a foreign annotation format; each reads it into facts."""

from __future__ import annotations

from collections.abc import Callable

from mlimages.labels.sources import coco_yolo, imagenet, table, tencent, voc
from mlimages.labels.streams import Readings

SOURCES: dict[str, Callable[..., Readings]] = {
    "tencent": tencent.read,
    "imagenet": imagenet.read,
    "coco_yolo": coco_yolo.read,
    "voc": voc.read,
    "table": table.read,
}
"""Format -> `read(path, taxonomy, *, source=..., split=..., ...)`."""
