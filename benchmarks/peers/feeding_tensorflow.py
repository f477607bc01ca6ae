"""tf.data's side of the feeding benchmark, for an environment of its own (it needs nothing else).

As https://www.tensorflow.org/guide/data_performance documents: a parallel map with autotuning, a
fused decode and crop, prefetch. The paper's augmentation without its rotation, which tf.image does
not have: this side is given less to do than the others.
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


def loader(folder: str):  # type: ignore[no-untyped-def]
    """Batches of a folder's photos, in another order each time."""
    import tensorflow as tf

    files = tf.data.Dataset.list_files(str(Path(folder, "photos", "*", "*.jpg")), shuffle=True)
    batches = files.map(view, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
    return batches.prefetch(tf.data.AUTOTUNE)


def serve() -> None:
    """Pin to one core; time a pass over the photos of each folder that comes on a line."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaders = {}
    print(json.dumps({"ready": "tensorflow"}), flush=True)
    for line in sys.stdin:
        folder = line.strip()
        answer = {}
        if folder not in loaders:
            started = time.perf_counter()
            loaders[folder] = loader(folder)
            first = next(iter(loaders[folder]))
            answer = {"first": time.perf_counter() - started, "shape": list(first.shape)}
        batches, started = loaders[folder], time.perf_counter()
        count = sum(len(batch) for batch in batches)
        answer |= {"seconds": time.perf_counter() - started, "images": count}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
