"""nnU-Net's U-Net in OpenVINO, on a CPU. Imports OpenVINO, so import it late.

The network is built from the plans and the weights themselves: nothing is converted, PyTorch is
not needed, and there is no intermediate file to go stale.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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

from core.cpus import allowed_cpus, usable_cpus
from core.errors import ModelError
from core.predictor.recipe import Recipe

Ranges = Mapping[str, Sequence[float]]
_NO_RANGES: Ranges = {}
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
    """The plans name a network that cannot be built here; PyTorch can still run it."""

    code = "unknown_network"


class OpenVINONetwork:
    """One network with its weights. See `core.predictor.networks.Network`.

    Parameters
    ----------
    precision
        ``float32``, ``bfloat16`` or ``int8``. A CPU without bfloat16 computes in float32 instead;
        the attribute ``precision`` says so.
    ranges
        For int8: see `ranges_of`.
    at_once
        Patches that are computed in parallel, each on its share of the cores: a tenth faster than
        one after the other on all cores.

    Raises
    ------
    UnknownNetworkError
        The plans name a network that cannot be built here.
    ModelError
        The weights do not fit the plans.
    """

    backend = "openvino"
    device = "cpu"

    def __init__(
        self,
        recipe: Recipe,
        weights: Path,
        precision: str,
        ranges: Ranges = _NO_RANGES,
        at_once: int = 1,
    ) -> None:
        self.batch = at_once
        try:
            network = _Graph(recipe, load_file(weights), ranges).model()
        except (OSError, KeyError, SafetensorError, RuntimeError) as error:
            raise ModelError(
                "The model's weights do not fit its plans", "Restore the model's folder."
            ) from error
        # As it comes OpenVINO computes in bfloat16 wherever the CPU can, and does not say so.
        how: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _TYPES.get(precision, ov.Type.f32)}
        if at_once > 1:
            how |= {"NUM_STREAMS": at_once, "INFERENCE_NUM_THREADS": usable_cpus()}
        else:
            how |= {"PERFORMANCE_HINT": "LATENCY"} | _threads()
        compiled = ov.Core().compile_model(network, "CPU", how)
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
        names = {kind: name for name, kind in _TYPES.items()}
        self.precision = "int8" if ranges else names[used]
        self._requests = [compiled.create_infer_request() for _ in range(at_once)]

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `core.predictor.networks.Network`."""
        logits: list[NDArray[np.float32]] = []
        try:
            for start in range(0, len(patches), self.batch):
                chosen = patches[start : start + self.batch]
                pairs = list(zip(self._requests, chosen, strict=False))
                for request, patch in pairs:
                    request.start_async({0: patch[None, None]}, share_inputs=True)
                for request, _ in pairs:
                    request.wait()
                    # OpenVINO writes the next patch's logits to the same place.
                    logits.append(request.get_output_tensor().data[0].copy())
        except BaseException:
            for request in self._requests:  # none may be busy when the next scan comes
                with contextlib.suppress(RuntimeError):
                    request.wait()
            raise
        return np.stack(logits) if len(logits) > 1 else logits[0][None]


class _Graph:
    """Builds a ``PlainConvUNet``, without deep supervision.

    Parameters
    ----------
    ranges
        By the name of every tensor that is computed in int8; empty for floating point.

    Attributes
    ----------
    tensors : dict
        The outputs of blocks and of transposed convolutions, by name.
    """

    def __init__(
        self, recipe: Recipe, weights: dict[str, NDArray[np.float32]], ranges: Ranges
    ) -> None:
        self._recipe, self._weights, self._ranges = recipe, weights, ranges
        self._arguments = recipe.architecture["arch_kwargs"]
        _check(recipe, self._arguments, weights)
        self._epsilon = float(self._arguments["norm_op_kwargs"]["eps"])
        self.tensors: dict[str, ov.Output] = {}

    def model(self, outputs: Callable[["_Graph"], list[ov.Output]] | None = None) -> ov.Model:
        """The graph with the logits as its output, or with others, for calibration."""
        arguments, recipe = self._arguments, self._recipe
        stages, kernels = int(arguments["n_stages"]), arguments["kernel_sizes"]
        strides = arguments["strides"]
        image = x = op.parameter([1, recipe.channels, *recipe.patch], np.float32, name="image")
        skips: list[ov.Output] = []
        for stage in range(stages):
            for i in range(int(arguments["n_conv_per_stage"][stage])):
                key = f"encoder.stages.{stage}.0.convs.{i}"
                x = self._block(x, key, strides[stage] if i == 0 else [1, 1, 1], kernels[stage])
            skips.append(x)
        for level, stage in enumerate(reversed(range(1, stages))):
            key = f"decoder.transpconvs.{level}"
            x = self._upsampled(x, key, strides[stage])
            x = op.concat([x, skips[stage - 1]], 1)
            for i in range(int(arguments["n_conv_per_stage_decoder"][level])):
                key = f"decoder.stages.{level}.convs.{i}"
                x = self._block(x, key, [1, 1, 1], kernels[stage - 1])
        key = f"decoder.seg_layers.{stages - 2}"
        x = self._convolution(x, key, [1, 1, 1], [0, 0, 0])
        x = op.add(x, _by_channel(self._weights[f"{key}.bias"]))
        return ov.Model(outputs(self) if outputs else [x], [image], "unet")

    def _block(
        self, x: ov.Output, key: str, stride: Sequence[int], kernel: Sequence[int]
    ) -> ov.Output:
        # The convolution's bias is left out: the instance normalisation would remove it again.
        x = self._convolution(x, f"{key}.conv", stride, [k // 2 for k in kernel])
        x = op.mvn(x, np.array([2, 3, 4]), True, self._epsilon, "INSIDE_SQRT")
        x = op.multiply(x, _by_channel(self._weights[f"{key}.norm.weight"]))
        x = op.add(x, _by_channel(self._weights[f"{key}.norm.bias"]))
        return self._noted(op.prelu(x, np.array([_NEGATIVE_SLOPE], np.float32)), key)

    def _convolution(
        self, x: ov.Output, key: str, stride: Sequence[int], pad: Sequence[int]
    ) -> ov.Output:
        weight = self._weight(x, key, axis=0)
        return op.convolution(x, weight, stride, pad, pad, [1, 1, 1])

    def _upsampled(self, x: ov.Output, key: str, stride: Sequence[int]) -> ov.Output:
        x = op.convolution_backprop_data(
            x, self._weight(x, key, axis=1), stride,
            pads_begin=[0, 0, 0], pads_end=[0, 0, 0], dilations=[1, 1, 1],
        )  # fmt: skip
        return self._noted(op.add(x, _by_channel(self._weights[f"{key}.bias"])), key)

    def _noted(self, x: ov.Output, key: str) -> ov.Output:
        """Remember a tensor by name; quantise it to 8 bits if it has a range."""
        self.tensors[key] = x
        if key not in self._ranges:
            return x
        low, high = (np.float32(edge) for edge in self._ranges[key])
        return op.fake_quantize(x, low, high, low, high, 256)

    def _weight(self, x: ov.Output, key: str, axis: int) -> Any:
        """Weights, quantised to 8 bits by output channel if their input is."""
        weight = self._weights[f"{key}.weight"]
        meets = x.get_type_name()
        inputs = (
            [i.get_source_output().get_node() for i in x.inputs()] if meets == "Concat" else [x]
        )
        if not all(node.get_type_name() == "FakeQuantize" for node in inputs):
            return weight
        others = tuple(i for i in range(weight.ndim) if i != axis)
        edge = np.abs(weight).max(others, keepdims=True)
        return op.fake_quantize(op.constant(weight), -edge, edge, -edge, edge, 255)


def _threads() -> dict[str, Any]:
    """OpenVINO follows the process's affinity by itself, but not a control group's quota."""
    cpus = usable_cpus()
    return {"INFERENCE_NUM_THREADS": cpus} if cpus < allowed_cpus() else {}


def _by_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(1, -1, 1, 1, 1)


def _check(
    recipe: Recipe, arguments: dict[str, Any], weights: dict[str, NDArray[np.float32]]
) -> None:
    given = {name: arguments.get(name) for name in _KNOWN}
    name = recipe.architecture["network_class_name"]
    slope = (arguments.get("nonlin_kwargs") or {}).get("negative_slope", _NEGATIVE_SLOPE)
    if name != _CLASS or given != _KNOWN or slope != _NEGATIVE_SLOPE:
        raise UnknownNetworkError(
            f"OpenVINO's side does not know this network: {name.rpartition('.')[2]}, {given}"
        )
    classes = len(weights[f"decoder.seg_layers.{int(arguments['n_stages']) - 2}.weight"])
    if classes != recipe.classes:
        raise ModelError(f"The weights are of {classes} classes, the plans of {recipe.classes}")


def ranges_of(
    recipe: Recipe, weights: Path, patches: Iterable[NDArray[np.float32]]
) -> dict[str, list[float]]:
    """The range of values of each tensor inside the network, which int8 needs.

    The first convolution and the last two stay in floating point: rounding there costs the most
    (``docs/performance.md``).

    Parameters
    ----------
    patches : ndarray, shape (A, B, C)
        Of training scans, preprocessed.

    Returns
    -------
    dict
        For each tensor in int8 the lowest and highest value, averaged over the patches and
        adjusted so that 0 is one of the 256 steps between.
    """
    graph = _Graph(recipe, load_file(weights), _NO_RANGES)
    axes = np.arange(5)

    def extremes(built: _Graph) -> list[ov.Output]:
        return [
            extreme(x, axes, False)
            for x in built.tensors.values()
            for extreme in (op.reduce_min, op.reduce_max)
        ]

    compiled = ov.Core().compile_model(
        graph.model(extremes), "CPU", {"INFERENCE_PRECISION_HINT": _TYPES["float32"]} | _threads()
    )
    observed = [list(compiled([patch[None, None]]).values()) for patch in patches]
    means = np.array(observed, np.float64).reshape(len(observed), -1, 2).mean(0)
    names = list(graph.tensors)
    ranges = dict(zip(names, means, strict=True))
    stages = int(recipe.architecture["arch_kwargs"]["n_stages"])
    per_stage = recipe.architecture["arch_kwargs"]["n_conv_per_stage"]
    for level, stage in enumerate(reversed(range(1, stages))):
        # Tensors that are concatenated share one range.
        skip = f"encoder.stages.{stage - 1}.0.convs.{int(per_stage[stage - 1]) - 1}"
        pair = [ranges[f"decoder.transpconvs.{level}"], ranges[skip]]
        both = np.array([min(p[0] for p in pair), max(p[1] for p in pair)])
        ranges[f"decoder.transpconvs.{level}"] = ranges[skip] = both
    for name in names[-2:]:
        del ranges[name]
    return {name: _with_zero(*edges) for name, edges in ranges.items()}


def _with_zero(low: float, high: float) -> list[float]:
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255
    zero = round(-low / step)
    return [float(-zero * step), float((255 - zero) * step)]
