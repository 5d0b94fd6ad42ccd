"""nnU-Net v2 with PyTorch, on a CPU or on CUDA. Imports nnU-Net, so import it late."""

import contextlib
import io
import os
import time
from collections.abc import Callable
from typing import Any

# OpenMP's threads spin while they wait, which costs much where another process takes a core:
# 8.6 s a scan against 1.9 s, and gains nothing on an idle machine (benchmarks/waiting.py).
# Read when PyTorch loads, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from core.errors import DeviceError, ModelError
from core.model import Model

# nnU-Net prints on import that its training folders are not set; none is needed to predict.
with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.inference.export_prediction import (
        convert_predicted_logits_to_segmentation_with_correct_shape,
    )
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager


class TorchBackend:
    """One network with its weights on one device. Not for two threads at once.

    Parameters
    ----------
    model
        Verified; its weights are read here.
    device
        ``cpu`` or ``cuda``.

    Raises
    ------
    DeviceError
        CUDA was asked for and there is none.
    ModelError
        The weights do not fit the plans.
    """

    name = "torch"

    def __init__(self, model: Model, device: str) -> None:
        self.device = _device(device)
        self._plans = PlansManager(model.json("plans.json"))
        self._configuration = self._plans.get_configuration(model.configuration)
        self._dataset = model.json("dataset.json")
        labels = self._plans.get_label_manager(self._dataset)
        network = get_network_from_plans(
            self._configuration.network_arch_class_name,
            self._configuration.network_arch_init_kwargs,
            self._configuration.network_arch_init_kwargs_req_import,
            len(self._dataset["channel_names"]),
            labels.num_segmentation_heads,
            deep_supervision=False,
        )
        try:
            safetensors.torch.load_model(network, model.weights)
        except (OSError, RuntimeError, safetensors.SafetensorError) as error:
            raise ModelError(
                "The model's weights do not fit its plans", "Restore the model's folder."
            ) from error
        # nnU-Net uses as many threads as this variable says, whatever the machine has.
        self._threads = os.cpu_count() or 1
        torch.set_num_threads(self._threads)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a remark on every CPU
            self._predictor = nnUNetPredictor(
                use_mirroring=True, device=self.device, allow_tqdm=False
            )
        self._predictor.manual_initialization(
            network,
            self._plans,
            self._configuration,
            None,
            self._dataset,
            str(model.card["trainer"]),
            tuple(model.card["mirror_axes"]),
        )

    def segment(
        self,
        data: NDArray[np.float32],
        spacing_mm: tuple[float, float, float],
        on_step: Callable[[str, float], None],
    ) -> NDArray[np.uint8]:
        """Segment one image as nnU-Net does, mirrored predictions averaged.

        Parameters
        ----------
        data : ndarray, shape (X, Y, Z)
            RAS+.
        spacing_mm
            Along the same axes.
        on_step
            Told the name of each step and the seconds that it took.

        Returns
        -------
        ndarray of uint8, shape (X, Y, Z)
        """
        clock = time.perf_counter
        start = clock()
        # nnU-Net's own order is that of SimpleITK: z first.
        properties: dict[str, Any] = {"spacing": list(spacing_mm[::-1])}
        image = _to_unit_range(data).transpose(2, 1, 0)[None]
        prepared, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(
            image, None, properties, self._plans, self._configuration, self._dataset
        )
        on_step("prepare", clock() - start)

        start = clock()
        with torch.inference_mode():
            logits = self._predictor.predict_sliding_window_return_logits(
                torch.from_numpy(np.ascontiguousarray(prepared))
            ).cpu()
        on_step("network", clock() - start)

        start = clock()
        labels = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self._plans,
            self._configuration,
            self._predictor.label_manager,
            properties,
            num_threads_torch=self._threads,
        )
        on_step("restore", clock() - start)
        return np.ascontiguousarray(np.asarray(labels).transpose(2, 1, 0), np.uint8)


def best_device() -> str:
    """``cuda`` where PyTorch finds an NVIDIA GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _device(name: str) -> torch.device:
    if name == "cuda" and best_device() != "cuda":
        raise DeviceError(
            "This server has no NVIDIA GPU that PyTorch can use",
            "Ask for device=cpu or device=auto.",
        )
    return torch.device(name)


def _to_unit_range(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values from 0 to 1, so that scaling and offset of the file change nothing.

    nnU-Net's z-score is invariant already; its cropping to what is not zero, and its
    smallest standard deviation of 1e-8, are not.
    """
    values = data.astype(np.float64)
    values -= values.min()
    values /= values.max()
    return values.astype(np.float32)
