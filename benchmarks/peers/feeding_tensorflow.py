"""tf.data's side of the feeding benchmark, for an environment of its own (it needs nothing else).

As https://www.tensorflow.org/guide/data_performance documents: a parallel map with autotuning, a
fused decode and crop, prefetch. The paper's augmentation without its rotation (tf.image has none).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

SIZE, BATCH = 224, 32


def view(path):  # type: ignore[no-untyped-def]
    """One augmented image from a file."""
    import tensorflow as tf

    data = tf.io.read_file(path)
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(data),
        tf.zeros([1, 0, 4]),
        area_range=(0.7, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        min_object_covered=0.7,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([begin[:2], size[:2]], axis=0)
    image = tf.image.resize(tf.io.decode_and_crop_jpeg(data, window, channels=3), [SIZE, SIZE])
    image = tf.image.random_flip_left_right(image) / 255

    def coloured():  # type: ignore[no-untyped-def]
        changed = tf.image.random_brightness(image, 32 / 255)
        changed = tf.image.random_saturation(changed, 0.5, 1.5)
        changed = tf.image.random_hue(changed, 0.2)
        return tf.image.random_contrast(changed, 0.5, 1.5)

    image = tf.cond(tf.random.uniform([]) < 0.5, coloured, lambda: image)
    return tf.cast(tf.clip_by_value(image, 0, 1) * 255, tf.uint8)


def serve(folder: Path) -> None:
    """Pin to one core, and time a pass whenever a line comes."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    started = time.perf_counter()
    files = tf.data.Dataset.list_files(str(folder / "photos" / "*" / "*.jpg"), shuffle=True)
    batches = files.map(view, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
    batches = batches.prefetch(tf.data.AUTOTUNE)
    first = next(iter(batches))
    print(
        json.dumps({"first": time.perf_counter() - started, "shape": list(first.shape)}), flush=True
    )
    for _ in sys.stdin:
        started = time.perf_counter()
        count = sum(len(batch) for batch in batches)
        print(json.dumps({"seconds": time.perf_counter() - started, "images": count}), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
