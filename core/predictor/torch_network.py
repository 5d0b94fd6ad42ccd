"""The plans' network in PyTorch, on a CPU or on CUDA. Imports PyTorch, so import it late."""

import os
import pydoc
from pathlib import Path
from typing import Any

# OpenMP's threads spin while they wait, which costs much where another process takes a core:
# 8.6 s a scan against 1.9 s, and gains nothing on an idle machine (benchmarks/waiting.py).
# Read when PyTorch loads, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from core.cpus import usable_cpus
from core.errors import ModelError
from core.predictor.recipe import Recipe

_PACKAGE = "dynamic_network_architectures."
_KNOWN_ARGUMENTS = ("torch.nn.", _PACKAGE)
# All mirrors of a patch at once; on a CPU one after the other is as fast.
_CUDA_BATCH = 8


class TorchNetwork:
    """One network with its weights. See `core.predictor.networks.Network`.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``. On CUDA it computes in mixed precision, as nnU-Net does.

    Raises
    ------
    ModelError
        The weights do not fit the plans.
    """

    def __init__(self, recipe: Recipe, weights: Path, device: str) -> None:
        self.device = device
        self.backend = "cuda" if device == "cuda" else "torch-cpu"
        self.precision = "float16" if device == "cuda" else "float32"
        self.batch = _CUDA_BATCH if device == "cuda" else 1
        torch.set_num_threads(usable_cpus())
        self._network = network_of(recipe, weights).to(device).eval()

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `core.predictor.networks.Network`."""
        batch = torch.from_numpy(np.ascontiguousarray(patches))[:, None].to(self.device)
        mixed = torch.autocast(self.device, torch.float16, enabled=self.device == "cuda")
        try:
            with torch.inference_mode(), mixed:
                logits: NDArray[np.float32] = self._network(batch).float().cpu().numpy()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # the next scan finds what this one held
            raise
        return logits


def network_of(recipe: Recipe, weights: Path) -> torch.nn.Module:
    """The network that the plans name, with its weights.

    Raises
    ------
    ModelError
        They do not fit.
    """
    arguments: dict[str, Any] = dict(recipe.architecture["arch_kwargs"])
    for name in recipe.architecture["_kw_requires_import"]:
        if arguments[name] is not None:
            arguments[name] = _located(arguments[name], _KNOWN_ARGUMENTS)
    network: torch.nn.Module = _located(recipe.architecture["network_class_name"], (_PACKAGE,))(
        input_channels=recipe.channels,
        num_classes=recipe.classes,
        deep_supervision=False,
        **arguments,
    )
    try:
        safetensors.torch.load_model(network, weights)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise ModelError(
            "The model's weights do not fit its plans", "Restore the model's folder."
        ) from error
    return network


def _located(name: str, packages: tuple[str, ...]) -> Any:
    """The object that a name in the plans stands for, from allowed packages only."""
    located = pydoc.locate(name) if name.startswith(packages) else None
    if located is None:
        raise ModelError(f"The model's plans name a network that is not installed: {name}")
    return located
