"""nnU-Net checkpoints (.pth) to safetensors, which cannot hold code.

``python -m core.predictor.checkpoint CHECKPOINT OUT`` converts one.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import safetensors.torch
import torch


def convert(checkpoint: Path, out: Path) -> str:
    """Write a checkpoint's network weights as safetensors.

    ``torch.load`` runs with ``weights_only=True``: a checkpoint that holds code is refused.

    Returns
    -------
    str
        The sha256 of the file written. The same weights give the same bytes.
    """
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = content["network_weights"]
    # nnU-Net's modules hold each other twice: two thirds of the names are the same numbers.
    unique = {
        name: tensor.contiguous().clone()
        for name, tensor in weights.items()
        if not name.startswith("decoder.encoder.") and ".all_modules." not in name
    }
    safetensors.torch.save_file(unique, out)
    return hashlib.sha256(out.read_bytes()).hexdigest()


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
