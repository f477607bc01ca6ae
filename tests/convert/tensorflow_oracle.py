"""The released network built in TensorFlow, for the test that compares with it.

Run by an interpreter that has TensorFlow and tf_keras, in a process of its own:

    python tensorflow_oracle.py PREFIX ARRAYS.npz DEPTH OUTPUTS   a random checkpoint, its outputs
    python tensorflow_oracle.py --read PREFIX ARRAYS.npz          what TensorFlow reads of one

It follows the description in the paper's notes, with the variable scopes of the released code.
"""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def normalise(scope, x):
    with v1.variable_scope(scope):
        x = v1.layers.batch_normalization(
            x, axis=3, momentum=0.997, epsilon=1e-5, training=False, fused=True
        )
    return tf.nn.relu(x)


def convolve(scope, x, channels, size, stride):
    if stride > 1:
        before = (size - 1) // 2
        after = size - 1 - before
        x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
    with v1.variable_scope(scope):
        return v1.layers.conv2d(
            x, channels, size, stride, "same" if stride == 1 else "valid", use_bias=False
        )


def network(images, depth, outputs):
    with v1.variable_scope("init"):
        x = convolve("init_conv", images, 64, 7, 2)
    for stage, blocks in enumerate(BLOCKS[depth]):
        channels = 256 << stage
        for block in range(blocks):
            with v1.variable_scope(f"stages_{stage}_block_{block}"):
                stride = 2 if block == 0 else 1
                shortcut = x
                if block == 0:
                    shortcut = normalise("conv1_b1_bn", x)
                    shortcut = convolve("conv1_b1", shortcut, channels, 1, stride)
                x = convolve("conv1_b2", normalise("conv1_b2_bn", x), channels // 4, 1, 1)
                x = convolve("conv2_b2", normalise("conv2_b2_bn", x), channels // 4, 3, stride)
                x = convolve("conv3_b2", normalise("conv3_b2_bn", x), channels, 1, 1)
                x = x + shortcut
    with v1.variable_scope("global_pool"):
        features = tf.reduce_mean(normalise("bn", x), [1, 2])
    with v1.variable_scope("logits"):
        return features, v1.layers.dense(features, outputs)


def write(prefix, arrays, depth, outputs):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 96, 64, 3)).astype(np.float32)
    with tf.Graph().as_default(), v1.Session() as session:
        features, logits = network(tf.constant(images), depth, outputs)
        loss = tf.reduce_mean(tf.square(logits))
        step = v1.train.get_or_create_global_step()
        # The released code keeps its loss's counters so: variables without a name.
        for _ in range(2):
            v1.Variable(tf.zeros([outputs]), trainable=False)
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        for variable in v1.global_variables():  # statistics and scales other than 0 and 1
            if "batch_normalization" in variable.name and "Momentum" not in variable.name:
                shape = variable.shape.as_list()
                session.run(variable.assign(rng.uniform(0.5, 1.5, shape).astype(np.float32)))
        session.run(step.assign(7))
        v1.train.Saver().save(session, prefix)
        features, logits = session.run([features, logits])
    np.savez(arrays, images=images, features=features, logits=logits)


def read(prefix, arrays):
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    np.savez(arrays, **{name: reader.get_tensor(name) for name in shapes})


if __name__ == "__main__":
    if sys.argv[1] == "--read":
        read(*sys.argv[2:4])
    else:
        v1.disable_eager_execution()
        write(*sys.argv[1:3], *map(int, sys.argv[3:5]))
