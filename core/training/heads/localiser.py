"""Trains the network that locates the hippocampi in a whole head. Imports PyTorch.

``python -m core.training.heads.localiser FOLDER`` trains it on synthetic heads alone (see
`core.training.heads.synthetic`) and writes the model's folder; called again, it continues from
its last checkpoint there.
"""

import argparse
import hashlib
import importlib.metadata
import json
import multiprocessing
import sys
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from loguru import logger
from torch import nn

from core.models.folder import CARD_NAME
from core.predictor.checkpoint import weights_file
from core.predictor.localiser import GRID, STEP_MM
from core.state.claim import claim
from core.state.storage import write_whole
from core.training.heads.synthetic import HeadGenerator, SyntheticHead

_FEATURES = [8, 16, 32, 64]
_CONVOLUTIONS = [1, 2, 2, 2]
_UP = [1, 1, 1]
_OUTPUTS = 6
_HEATS, _BRAIN, _TEMPLATE = slice(0, 2), 2, slice(3, 6)
_BATCH = 2
_RATE = 2e-3
# Pool of heads that batches are drawn from, and its size to begin with: making one head takes as
# long as an iteration.
_KEPT, _FIRST = 400, 24
_WAITING = 4
_TOLD_EVERY = 100
_AVERAGED = 0.002
_NEAR = 0.05  # of `core.predictor.localiser.TEMPLATE_UNIT_MM`
_CHECKPOINT = "checkpoint.pt"
_WEIGHTS = "localiser.safetensors"


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--iterations", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start", type=Path, help="weights (.safetensors) of a network to go on from"
    )
    options = parser.parse_args(arguments)
    claim(options.folder, "localiser")
    train(options.folder, options.iterations, options.seed, options.start)
    return 0


def train(folder: Path, iterations: int, seed: int, start: Path | None = None) -> None:
    """Train and write the model; resumes from the checkpoint in ``folder``.

    Parameters
    ----------
    start
        Weights to begin with; only layers of the same shape are used.
    """
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    network = _network()
    if start is not None:
        weights = network.state_dict()
        loaded = safetensors.torch.load_file(start)
        fitting = {n: value for n, value in loaded.items() if value.shape == weights[n].shape}
        network.load_state_dict(fitting, strict=False)
    network = network.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=1e-4)
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    done = 0
    checkpoint = folder / _CHECKPOINT
    if checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        averaged, done = kept["averaged"], kept["done"]
    context = multiprocessing.get_context("spawn")
    heads_made: Queue[SyntheticHead] = context.Queue(_WAITING)
    maker = context.Process(target=_make, args=(heads_made, seed + done), daemon=True)
    maker.start()
    random = np.random.default_rng(seed + done)
    heads: list[SyntheticHead] = []
    losses = []
    while done < iterations:
        while len(heads) < _FIRST or not heads_made.empty():
            if len(heads) < _KEPT:
                heads.append(heads_made.get())
            else:
                heads[random.integers(_KEPT)] = heads_made.get()
        share = 1 - done / iterations
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (done + 1) / 100) * share**0.9 + 1e-6
        losses.append(_step(network, optimizer, [heads[i] for i in random.integers(
            len(heads), size=_BATCH)]))  # fmt: skip
        with torch.no_grad():
            for name, value in network.state_dict().items():
                averaged[name].lerp_(value, _AVERAGED)
        done += 1
        if done % _TOLD_EVERY == 0 or done == iterations:
            logger.info("{} of {}: loss {:.4f}", done, iterations, np.mean(losses[-_TOLD_EVERY:]))
            new = checkpoint.with_suffix(".new")
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(),
                     "averaged": averaged, "done": done}  # fmt: skip
            torch.save(state, new)
            new.replace(checkpoint)
    maker.terminate()
    write_model(folder, averaged, {"iterations": iterations, "seed": seed})
    checkpoint.unlink(missing_ok=True)


def write_model(folder: Path, weights: dict[str, torch.Tensor], training: dict[str, Any]) -> None:
    """Write the folder that `core.models.folder.load_model` reads."""
    configuration = {
        "preprocessor_name": "DefaultPreprocessor",
        "patch_size": list(GRID),
        "spacing": [STEP_MM] * 3,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": {
            "network_class_name": f"{PlainConvUNet.__module__}.{PlainConvUNet.__name__}",
            "arch_kwargs": _arguments(),
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    for what in ("data", "probabilities"):
        configuration[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        configuration[f"resampling_fn_{what}_kwargs"] = {
            "is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None,
        }  # fmt: skip
    plans = {
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"localiser": configuration},
    }
    names = ("left", "right", "brain", "place_r", "place_a", "place_s")
    labels = {name: number for number, name in enumerate(names)}
    dataset = {"channel_names": {"0": "MRI"}, "labels": labels}
    parts = {
        _WEIGHTS: weights_file(weights),
        "plans.json": json.dumps(plans, indent=1).encode(),
        "dataset.json": json.dumps(dataset, indent=1).encode(),
    }
    card = {
        "version": "2",
        "name": folder.name,
        "configuration": "localiser",
        "mirror_axes": [],
        "labels": labels,
        "weights": _WEIGHTS,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
        "summary": "Finds the two hippocampi in a whole head of 4 mm voxels: heat of the left and "
        "of the right one, the brain, and where each of its voxels lies in the ICBM 152 template. "
        "Not nnU-Net: it borrows its plans' format.",
        "training": {
            "Data": "synthetic heads made of the ICBM 152 template, no scan of a person",
            "PyTorch": importlib.metadata.version("torch"),
            **training,
        },
    }
    for name, data in parts.items():
        write_whole(folder / name, data)
    write_whole(folder / CARD_NAME, json.dumps(card, indent=1).encode())


def _make(heads_made: "Queue[SyntheticHead]", seed: int) -> None:
    torch.set_num_threads(1)
    maker = HeadGenerator(seed)
    while True:
        heads_made.put(maker.make())


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, heads: list[SyntheticHead]
) -> float:
    image = torch.from_numpy(np.stack([head.image for head in heads])[:, None])
    target = torch.from_numpy(np.stack([head.target for head in heads]))
    # A head is used several times, each time with other gain and noise.
    image = image * (1 + 0.1 * torch.randn(len(heads), 1, 1, 1, 1)) + 0.03 * torch.randn_like(image)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image.contiguous(memory_format=torch.channels_last_3d)).float()
    heat, heat_target = output[:, _HEATS], target[:, _HEATS]
    loss = 40 * ((heat - heat_target) ** 2 * (1 + 30 * heat_target)).mean()
    inside = target[:, _BRAIN]
    loss = loss + 0.3 * nn.functional.binary_cross_entropy_with_logits(output[:, _BRAIN], inside)
    off = nn.functional.smooth_l1_loss(
        output[:, _TEMPLATE], target[:, _TEMPLATE], reduction="none", beta=_NEAR
    )
    loss = loss + 1.5 * (off * inside[:, None]).sum() / (inside.sum() + 1)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5)
    optimizer.step()
    value: float = loss.item()
    return value


def _arguments() -> dict[str, Any]:
    """Arguments of the network, named as in nnU-Net's plans."""
    stages = len(_FEATURES)
    return {
        "n_stages": stages,
        "features_per_stage": _FEATURES,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "n_conv_per_stage": _CONVOLUTIONS,
        "n_conv_per_stage_decoder": _UP,
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _network() -> nn.Module:
    arguments = _arguments() | {
        "conv_op": nn.Conv3d, "norm_op": nn.InstanceNorm3d, "nonlin": nn.LeakyReLU,
    }  # fmt: skip
    network: nn.Module = PlainConvUNet(1, num_classes=_OUTPUTS, deep_supervision=False, **arguments)
    return network


if __name__ == "__main__":
    sys.exit(main())
