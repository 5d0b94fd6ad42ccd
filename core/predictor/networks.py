"""The common interface of the backends, and the choice between them."""

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from core.cpus import usable_cpus
from core.errors import DeviceError, HippoViewError, ModelError
from core.models.folder import Model
from core.predictor.recipe import Recipe

_CUDA, _OPENVINO, _TORCH = "cuda", "openvino", "torch-cpu"


class Network(Protocol):
    """A network with its weights: patches in, logits out. Not for two threads at once.

    Attributes
    ----------
    backend : str
        ``openvino``, ``torch-cpu`` or ``cuda``.
    device : str
        ``cpu`` or ``cuda``.
    precision : str
        ``float32``, ``bfloat16``, ``int8`` or ``float16``; the last two mixed with float32.
    batch : int
        How many patches are best passed at once.
    """

    @property
    def backend(self) -> str: ...  # noqa: D102 - said above
    @property
    def device(self) -> str: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of patches: (N, A, B, C) to (N, classes, A, B, C), a new array."""
        ...


class Ensemble:
    """Several networks as one: their logits are averaged, as nnU-Net does with folds."""

    def __init__(self, members: Sequence[Network]) -> None:
        self._members = members
        first = members[0]
        self.backend, self.device = first.backend, first.device
        self.precision, self.batch = first.precision, first.batch

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Network`."""
        total = self._members[0].logits(patches)
        for member in self._members[1:]:
            total += member.logits(patches)
        total /= len(self._members)
        return total


def backend_for(device: str, backend: str) -> str:
    """The backend for a device.

    Parameters
    ----------
    device
        Of the request or the setting: ``auto``, ``cpu`` or ``cuda``.
    backend
        The setting: ``auto``, or the backend for requests with the device ``auto``.
    """
    if device == "auto":
        device = "cuda" if backend == _CUDA or (backend == "auto" and _has_gpu()) else "cpu"
    if device == "cuda":
        return _CUDA
    if backend in (_OPENVINO, _TORCH):
        return backend
    return _OPENVINO if _is_installed("openvino") else _TORCH


def networks_of(
    model: Model,
    recipe: Recipe,
    backend: str,
    precision: str,
    passes: int,
    *,
    may_fall_back: bool,
) -> tuple[Network, str]:
    """Load a model's networks, as one.

    Parameters
    ----------
    precision
        The setting: ``float32``, ``bfloat16``, ``int8``, or ``auto``: int8 where the model's card
        proves that its masks are as good (`core.predictor.calibrate`), else float32.
    passes
        Mirrored predictions of each patch, which can be computed in parallel.
    may_fall_back
        Whether PyTorch is used if OpenVINO fails.

    Returns
    -------
    network : Network
    remark : str
        Why backend or precision are not the requested ones; else empty.

    Raises
    ------
    DeviceError, ModelError
    """
    try:
        network = _loaded(model, recipe, backend, precision, passes)
    except Exception as error:
        if backend != _OPENVINO or not may_fall_back or not _is_installed("torch"):
            if isinstance(error, HippoViewError):
                raise
            raise ModelError(
                f"The model could not be loaded with {backend}", "The log says why."
            ) from error
        why = error.message if isinstance(error, HippoViewError) else type(error).__name__
        logger.opt(exception=error).warning("OpenVINO cannot run this model, PyTorch does")
        remark = f"OpenVINO cannot run this model ({why}): PyTorch does, more slowly"
        return _loaded(model, recipe, _TORCH, precision, passes), remark
    if precision in ("auto", network.precision):
        return network, ""
    return network, f"{precision} was asked for; this machine computes in {network.precision}"


def _loaded(model: Model, recipe: Recipe, backend: str, precision: str, passes: int) -> Network:
    # PyTorch and OpenVINO take seconds to import: import only the one that is used.
    members: list[Network]
    if backend == _OPENVINO:
        _needs("openvino", "openvino")
        from core.predictor.openvino_network import OpenVINONetwork

        cpus = usable_cpus()
        at_once = max(n for n in range(1, passes + 1) if passes % n == 0 and n <= cpus)
        ranges = model.int8_ranges() if precision in ("auto", "int8") else []
        if ranges:
            members = [
                OpenVINONetwork(recipe, path, "int8", own, at_once)
                for path, own in zip(model.weights, ranges, strict=True)
            ]
        else:
            chosen = "bfloat16" if precision == "bfloat16" else "float32"
            members = [
                OpenVINONetwork(recipe, path, chosen, at_once=at_once) for path in model.weights
            ]
    else:
        _needs("torch", backend)
        if backend == _CUDA and not _has_gpu():
            raise DeviceError(
                "This server has no NVIDIA GPU that PyTorch can use",
                "Ask for device=cpu or device=auto.",
            )
        from core.predictor.torch_network import TorchNetwork

        device = "cuda" if backend == _CUDA else "cpu"
        members = [TorchNetwork(recipe, path, device) for path in model.weights]
    return members[0] if len(members) == 1 else Ensemble(members)


def _needs(package: str, backend: str) -> None:
    if not _is_installed(package):
        raise DeviceError(
            f"{backend} needs {package}, which is not installed",
            "Ask for another device, or install requirements.txt.",
        )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _has_gpu() -> bool:
    """Whether PyTorch finds a GPU; it is not imported where there cannot be one."""
    if not _is_installed("torch"):
        return False
    if not Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is None:
        return False
    import torch

    return torch.cuda.is_available()
