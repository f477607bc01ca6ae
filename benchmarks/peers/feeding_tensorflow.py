"""tf.data's side of the feeding benchmark, for an environment of its own (it needs nothing else).

As https://www.tensorflow.org/guide/data_performance documents: a parallel map with autotuning, a
fused decode and crop, prefetch. tf.image does not rotate; the side "tensorflow" does so with the
operation under Keras's RandomRotation, and "tensorflow_unturned" leaves the rotation out.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

SIZE, BATCH = 224, 32


def turned(image):  # type: ignore[no-untyped-def]
    """The image rotated about its centre by up to 45 degrees, black where nothing was."""
    import tensorflow as tf

    angle = tf.random.uniform([], -math.pi / 4, math.pi / 4)
    cosine, sine, centre = tf.cos(angle), tf.sin(angle), (SIZE - 1) / 2
    across, down = centre * (1 - cosine + sine), centre * (1 - sine - cosine)
    (result,) = tf.unstack(
        tf.raw_ops.ImageProjectiveTransformV3(
            images=image[None],
            transforms=tf.stack([cosine, -sine, across, sine, cosine, down, 0.0, 0.0])[None],
            output_shape=[SIZE, SIZE],
            fill_value=0.0,
            interpolation="BILINEAR",
        ),
        1,
    )
    return result


def view(path, rotates):  # type: ignore[no-untyped-def]
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
    if rotates:
        plain = image
        image = tf.cond(tf.random.uniform([]) < 0.25, lambda: turned(plain), lambda: plain)

    def coloured():  # type: ignore[no-untyped-def]
        changed = tf.image.random_brightness(image, 32 / 255)
        changed = tf.image.random_saturation(changed, 0.5, 1.5)
        changed = tf.image.random_hue(changed, 0.2)
        return tf.image.random_contrast(changed, 0.5, 1.5)

    image = tf.cond(tf.random.uniform([]) < 0.5, coloured, lambda: image)
    return tf.cast(tf.clip_by_value(image, 0, 1) * 255, tf.uint8)


def loader(folder: str, rotates: bool):  # type: ignore[no-untyped-def]
    """Batches of a folder's photos, in another order each time."""
    import tensorflow as tf

    files = tf.data.Dataset.list_files(str(Path(folder, "photos", "*", "*.jpg")), shuffle=True)
    views = files.map(lambda path: view(path, rotates), num_parallel_calls=tf.data.AUTOTUNE)
    return views.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def serve(side: str) -> None:
    """Pin to one core; time a pass over the photos of each folder that comes on a line."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaders = {}
    print(json.dumps({"ready": side}), flush=True)
    for line in sys.stdin:
        folder = line.strip()
        answer = {}
        if folder not in loaders:
            started = time.perf_counter()
            loaders[folder] = loader(folder, rotates=side == "tensorflow")
            first = next(iter(loaders[folder]))
            answer = {"first": time.perf_counter() - started, "shape": list(first.shape)}
        batches, started, spent = loaders[folder], time.perf_counter(), time.process_time()
        count = sum(len(batch) for batch in batches)
        answer["processor"] = time.process_time() - spent
        answer |= {"seconds": time.perf_counter() - started, "images": count}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
