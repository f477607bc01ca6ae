"""EfficientNet-lite0 on onnxruntime: the same answers as the torch network, without torch.

The graph is put together here from the published tensors, with every batch normalisation folded
into the convolution before it: y = g (Wx - m) / sqrt(v + e) + b is a convolution with the weights
W g / sqrt(v + e) and the bias b - m g / sqrt(v + e).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np

from mlimages.errors import CheckpointError, require
from mlimages.models import lite_package
from mlimages.models.interface import ModelCategory

EPSILON = 1e-3  # of the published batch normalisation
# repeats, kernel, stride of the first, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class LiteModel:
    """A `models.interface.Model` on the processor, with its published weights."""

    name = "efficientnet-lite0"
    activation: Literal["softmax"] = "softmax"
    feature_dim = lite_package.FEATURE_DIM
    minimum_side = lite_package.MINIMUM_SIDE

    def __init__(self) -> None:
        """Read the weights and build the graph.

        Raises:
            MissingExtraError: onnx, onnxruntime or the package of the weights is not installed.
            CheckpointError: the file of weights is damaged.
        """
        runtime = require("onnxruntime", extra="lite")
        weights = lite_package.read_weights(lite_package.packaged_weights())
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        graph = build_graph(weights).SerializeToString()
        self._session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    @cached_property
    def categories(self) -> tuple[ModelCategory, ...]:
        """The 1,000 classes of ILSVRC-2012."""
        return lite_package.categories()

    def preprocess(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 [height, width, 3] -> float32 [3, 224, 224]."""
        square = lite_package.prepare(image).astype(np.float32)
        scaled = (square - lite_package.MEAN) / lite_package.SCALE
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))

    def probabilities(self, batch: np.ndarray) -> np.ndarray:
        """float32 [batch, 3, 224, 224] -> float32 [batch, 1000], each in [0, 1]."""
        return self._session.run(["probabilities"], {"images": batch})[0]

    def features(self, batch: np.ndarray) -> np.ndarray:
        """float32 [batch, 3, 224, 224] -> float32 [batch, 1280]."""
        return self._session.run(["features"], {"images": batch})[0]


def build_graph(weights: dict[str, np.ndarray]) -> Any:
    """The network as an onnx.ModelProto, from the published tensors by name.

    Raises:
        CheckpointError: a tensor is missing.
    """
    return _Graph(weights).model()


class _Graph:
    """Nodes and constants of a graph in the making."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._onnx = require("onnx", extra="lite")
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def model(self) -> Any:
        """Lay out the whole network."""
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        self._constant("zero", np.float32(0))
        self._constant("six", np.float32(6))
        x, size = self._convolution("images", "_conv_stem", "_bn0", lite_package.IMAGE_SIZE, 2)
        number, inputs = 0, 32
        for repeats, _, first_stride, expansion, outputs in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                block, before = f"_blocks.{number}.", x
                if expansion > 1:
                    x, size = self._convolution(x, f"{block}_expand_conv", f"{block}_bn0", size, 1)
                x, size = self._convolution(
                    x, f"{block}_depthwise_conv", f"{block}_bn1", size, stride
                )
                x, size = self._convolution(
                    x, f"{block}_project_conv", f"{block}_bn2", size, 1, active=False
                )
                if stride == 1 and inputs == outputs:
                    x = self._node("Add", [x, before])
                number, inputs = number + 1, outputs
        x, _ = self._convolution(x, "_conv_head", "_bn1", size, 1)
        x = self._node("GlobalAveragePool", [x])
        self._node("Flatten", [x], output="features")
        self._constant("_fc.weight", self._tensor("_fc.weight"))
        self._constant("_fc.bias", self._tensor("_fc.bias"))
        logits = self._node("Gemm", ["features", "_fc.weight", "_fc.bias"], transB=1)
        self._node("Softmax", [logits], output="probabilities", axis=1)
        side = lite_package.IMAGE_SIZE
        graph = helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("images", kind, ["batch", 3, side, side])],
            [
                helper.make_tensor_value_info("features", kind, ["batch", 1280]),
                helper.make_tensor_value_info("probabilities", kind, ["batch", 1000]),
            ],
            self._constants,
        )
        opset = helper.make_opsetid("", 17)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def _convolution(
        self, x: str, layer: str, norm: str, size: int, stride: int, active: bool = True
    ) -> tuple[str, int]:
        """A convolution with its folded normalisation and ReLU6; (output, its side)."""
        weight = self._tensor(f"{layer}.weight").astype(np.float64)
        mean, variance = (self._tensor(f"{norm}.running_{s}") for s in ("mean", "var"))
        factor = self._tensor(f"{norm}.weight") / np.sqrt(variance.astype(np.float64) + EPSILON)
        self._constant(f"{layer}.weight", weight * factor[:, None, None, None])
        self._constant(f"{layer}.bias", self._tensor(f"{norm}.bias") - mean * factor)
        # The published network pads as TensorFlow's SAME: what is odd goes behind.
        kernel, output = weight.shape[2], -(-size // stride)
        total = max(0, (output - 1) * stride + kernel - size)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        group = weight.shape[0] if "depthwise" in layer else 1
        inputs = [x, f"{layer}.weight", f"{layer}.bias"]
        x = self._node("Conv", inputs, pads=pads, strides=[stride, stride], group=group)
        return (self._node("Clip", [x, "zero", "six"]) if active else x), output

    def _node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{kind}{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, values: np.ndarray | np.float32) -> None:
        array = np.ascontiguousarray(values, np.float32) if np.ndim(values) else np.array(values)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))

    def _tensor(self, name: str) -> np.ndarray:
        if name not in self._weights:
            raise CheckpointError(
                f"EfficientNet-lite0 tensor {name}", "missing", "install the package again"
            )
        return self._weights[name]
