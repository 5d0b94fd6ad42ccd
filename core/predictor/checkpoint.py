"""nnU-Net checkpoints (.pth) to safetensors, which cannot hold code, and back.

``python -m core.predictor.checkpoint CHECKPOINT OUT`` converts one.
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from core.models.folder import Model
from core.predictor.recipe import recipe_of
from core.predictor.torch_network import network_of
from core.state.storage import write_whole

CHECKPOINT_NAME = "checkpoint_final.pth"


def convert(checkpoint: Path, out: Path) -> str:
    """Write a checkpoint's network weights as safetensors.

    ``torch.load`` runs with ``weights_only=True``: a checkpoint that holds code is refused.

    Returns
    -------
    str
        The sha256 of the file written. The same weights give the same bytes.
    """
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    out.write_bytes(weights_file(content["network_weights"]))
    return hashlib.sha256(out.read_bytes()).hexdigest()


def write_for_nnunet(model: Model, folder: Path) -> None:
    """Write a model as a folder for nnU-Net's own programs.

    Such as ``nnUNetv2_predict_from_modelfolder -m FOLDER -f 0``; of several networks each becomes
    a fold.
    """
    recipe = recipe_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("plans.json", "dataset.json"):
        write_whole(folder / name, (model.folder / name).read_bytes())
    for fold, weights in enumerate(model.weights):
        checkpoint = {
            "network_weights": network_of(recipe, weights).state_dict(),
            "init_args": {"configuration": model.configuration},
            "trainer_name": model.card["trainer"],
            "inference_allowed_mirroring_axes": recipe.mirror_axes,
        }
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(checkpoint, folder / f"fold_{fold}" / CHECKPOINT_NAME)


def weights_file(weights: Mapping[str, torch.Tensor]) -> bytes:
    """A network's weights (its ``state_dict``) as the content of a safetensors file."""
    # nnU-Net's modules refer to each other: two thirds of the names are duplicates.
    unique = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in weights.items()
        if not name.startswith("decoder.encoder.") and ".all_modules." not in name
    }
    return bytes(safetensors.torch.save(unique))


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    sys.stdout.write(convert(options.checkpoint, options.out) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
