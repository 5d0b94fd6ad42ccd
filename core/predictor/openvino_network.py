"""nnU-Net's U-Net in OpenVINO, on a CPU. Imports OpenVINO, so import it late.

The network is built from the plans and the weights themselves: nothing is converted, PyTorch is
not needed, and there is no intermediate file to go stale.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

# `import openvino` would send an event to Google Analytics; without its converter, which
# is not used here, it sends nothing: https://github.com/openvinotoolkit/openvino/pull/23832
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]

import openvino as ov
from openvino import opset15 as op

from core.errors import ModelError
from core.predictor.recipe import Recipe

_TYPES = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16}
_KNOWN = {
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "nonlin": "torch.nn.LeakyReLU",
    "dropout_op": None,
}
_CLASS = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
# PyTorch's default, which nnU-Net's plans leave as it is.
_NEGATIVE_SLOPE = 0.01


class UnknownNetworkError(ModelError):
    """The plans name a network that is not built here; PyTorch can still run it."""

    code = "unknown_network"


class OpenVINONetwork:
    """One network with its weights. See `core.predictor.networks.Network`.

    Parameters
    ----------
    precision
        ``float32`` or ``bfloat16``; where the CPU has no bfloat16 it is float32 all the same, and
        the attribute says so.

    Raises
    ------
    UnknownNetworkError
        The plans name a network that cannot be built here.
    ModelError
        The weights do not fit the plans.
    """

    backend = "openvino"
    device = "cpu"
    batch = 1

    def __init__(self, recipe: Recipe, weights: Path, precision: str) -> None:
        try:
            network = _built(recipe, load_file(weights))
        except (OSError, KeyError, SafetensorError, RuntimeError) as error:
            raise ModelError(
                "The model's weights do not fit its plans", "Restore the model's folder."
            ) from error
        # As it comes OpenVINO computes in bfloat16 wherever the CPU can, and does not say so.
        compiled = ov.Core().compile_model(
            network,
            "CPU",
            {"INFERENCE_PRECISION_HINT": _TYPES[precision], "PERFORMANCE_HINT": "LATENCY"},
        )
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
        self.precision = next(name for name, kind in _TYPES.items() if kind == used)
        self._request = compiled.create_infer_request()

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `core.predictor.networks.Network`."""
        found = []
        for patch in patches:
            self._request.infer({0: patch[None, None]}, share_inputs=True)
            # OpenVINO writes the next patch's logits to the same place.
            found.append(self._request.get_output_tensor().data[0].copy())
        return np.stack(found) if len(found) > 1 else found[0][None]


def _built(recipe: Recipe, weights: dict[str, NDArray[np.float32]]) -> ov.Model:
    """The graph of a ``PlainConvUNet``, without deep supervision."""
    arguments = recipe.architecture["arch_kwargs"]
    _check(recipe, arguments, weights)
    epsilon = float(arguments["norm_op_kwargs"]["eps"])
    stages, kernels = int(arguments["n_stages"]), arguments["kernel_sizes"]
    strides = arguments["strides"]

    def block(x: ov.Output, key: str, stride: Sequence[int], kernel: Sequence[int]) -> ov.Output:
        # The convolution's bias is the same everywhere, so the normalisation takes it out again.
        x = _convolution(x, weights[f"{key}.conv.weight"], stride, [k // 2 for k in kernel])
        x = op.mvn(x, np.array([2, 3, 4]), True, epsilon, "INSIDE_SQRT")
        x = op.multiply(x, _by_channel(weights[f"{key}.norm.weight"]))
        x = op.add(x, _by_channel(weights[f"{key}.norm.bias"]))
        return op.prelu(x, np.array([_NEGATIVE_SLOPE], np.float32))

    image = x = op.parameter([1, recipe.channels, *recipe.patch], np.float32, name="image")
    skips: list[ov.Output] = []
    for stage in range(stages):
        for i in range(int(arguments["n_conv_per_stage"][stage])):
            key = f"encoder.stages.{stage}.0.convs.{i}"
            x = block(x, key, strides[stage] if i == 0 else [1, 1, 1], kernels[stage])
        skips.append(x)
    for level, stage in enumerate(reversed(range(1, stages))):
        key = f"decoder.transpconvs.{level}"
        x = op.convolution_backprop_data(
            x, weights[f"{key}.weight"], strides[stage],
            pads_begin=[0, 0, 0], pads_end=[0, 0, 0], dilations=[1, 1, 1],
        )  # fmt: skip
        x = op.add(x, _by_channel(weights[f"{key}.bias"]))
        x = op.concat([x, skips[stage - 1]], 1)
        for i in range(int(arguments["n_conv_per_stage_decoder"][level])):
            key = f"decoder.stages.{level}.convs.{i}"
            x = block(x, key, [1, 1, 1], kernels[stage - 1])
    key = f"decoder.seg_layers.{stages - 2}"
    x = _convolution(x, weights[f"{key}.weight"], [1, 1, 1], [0, 0, 0])
    x = op.add(x, _by_channel(weights[f"{key}.bias"]))
    return ov.Model([x], [image], "unet")


def _convolution(
    x: ov.Output, weight: NDArray[np.float32], stride: Sequence[int], pad: Sequence[int]
) -> ov.Output:
    return op.convolution(x, weight, stride, pad, pad, [1, 1, 1])


def _by_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(1, -1, 1, 1, 1)


def _check(
    recipe: Recipe, arguments: dict[str, Any], weights: dict[str, NDArray[np.float32]]
) -> None:
    found = {name: arguments.get(name) for name in _KNOWN}
    name = recipe.architecture["network_class_name"]
    slope = (arguments.get("nonlin_kwargs") or {}).get("negative_slope", _NEGATIVE_SLOPE)
    if name != _CLASS or found != _KNOWN or slope != _NEGATIVE_SLOPE:
        raise UnknownNetworkError(
            f"OpenVINO's side does not know this network: {name.rpartition('.')[2]}, {found}"
        )
    classes = len(weights[f"decoder.seg_layers.{int(arguments['n_stages']) - 2}.weight"])
    if classes != recipe.classes:
        raise ModelError(f"The weights are of {classes} classes, the plans of {recipe.classes}")
