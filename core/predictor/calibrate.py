"""int8 for a model version: what its network needs to know, and the proof that it costs nothing.

``python -m core.predictor.calibrate MODEL DATA`` does it for a model folder, with a data set in
the Decathlon's layout, and writes the outcome into its card.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import nifti, volume
from core.intake import vetted
from core.model import CARD_NAME, Model, load_model
from core.predictor import window
from core.predictor.predictor import Way, loaded
from core.predictor.prepare import prepare
from core.predictor.recipe import recipe_of
from core.segmentation import LABELS
from core.volume import Volume

RANGES_NAME = "int8.json"
# What int8 may cost, or it is not used unless somebody asks for it.
LARGEST_DICE_LOSS = 0.0005
SMALLEST_AGREEMENT = 0.995
# Scans to learn the ranges from: more change them by less than a step.
CALIBRATION_CASES = 40


@dataclass(frozen=True)
class Labelled:
    """A scan with the expert's labels, both RAS+."""

    scan: Volume
    truth: NDArray[np.uint8]


def ranges_file(model: Model, scans: Iterable[Volume]) -> bytes:
    """The content of `RANGES_NAME` for a model.

    Parameters
    ----------
    scans
        Of the training.

    Raises
    ------
    UnknownNetworkError
        OpenVINO's side does not know the network.
    """
    from core.predictor.openvino_network import ranges_of

    recipe = recipe_of(model)
    patches = [
        window.first_patch(prepare(scan.unit, scan.spacing_mm, recipe).data, recipe.patch)
        for scan in scans
    ]
    networks = [ranges_of(recipe, weights, patches) for weights in model.weights]
    return json.dumps({"networks": networks}, indent=1).encode()


def proof(model: Model, cases: Sequence[Labelled], *, seen: bool) -> dict[str, Any] | None:
    """Compare int8 with float32 on labelled cases.

    Parameters
    ----------
    model
        With its ranges in the card.
    cases
        Others than the ranges were learned from.
    seen
        Whether the model was trained on them.

    Returns
    -------
    dict or None
        For the card; None where int8 costs more than it may.
    """
    ways = [Way(device="cpu", precision=p) for p in ("float32", "int8")]
    predictors = [loaded(model, way) for way in ways]
    dice: list[list[list[float]]] = []
    same: list[float] = []
    for case in cases:
        masks = [p.segment(case.scan).labels for p in predictors]
        same.append(float((masks[0] == masks[1]).mean()))
        dice.append([[_dice(m == v, case.truth == v) for v in LABELS.values()] for m in masks])
    for predictor in predictors:
        predictor.close()
    change = np.diff(np.array(dice), axis=1)[:, 0].mean(0)
    agreement = float(np.mean(same))
    if change.min() < -LARGEST_DICE_LOSS or agreement < SMALLEST_AGREEMENT:
        return None
    return {
        "ranges": RANGES_NAME,
        "cases": len(cases),
        "seen_in_training": seen,
        "dice_change": {name: round(float(c), 5) for name, c in zip(LABELS, change, strict=True)},
        "agreement": round(agreement, 6),
    }


def read_labelled(scan: Path, label: Path, scratch: Path) -> Labelled:
    """A scan and its label, checked and turned to RAS+.

    Raises
    ------
    InputError
    """
    with scan.open("rb") as stream, vetted(stream, scratch) as file:
        loaded_scan = volume.load(file)
    with label.open("rb") as stream, vetted(stream, scratch) as file:
        stored = nifti.values_of(file.path.read_bytes(), file.header)
        truth = volume.to_ras(stored, file.header).astype(np.uint8)
    return Labelled(loaded_scan, truth)


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def _labelled(folder: Path) -> list[Labelled]:
    with tempfile.TemporaryDirectory() as scratch:
        return [
            read_labelled(path, folder / "labelsTr" / path.name, Path(scratch))
            for path in sorted((folder / "imagesTr").glob("[!.]*.nii.gz"))
        ]


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, help="imagesTr and labelsTr, seen in its training")
    options = parser.parse_args(arguments)
    cases = _labelled(options.data)
    every = max(1, len(cases) // CALIBRATION_CASES)
    chosen, rest = cases[::every], [c for i, c in enumerate(cases) if i % every]
    card_path = options.model / CARD_NAME
    content = ranges_file(load_model(options.model), [case.scan for case in chosen])
    (options.model / RANGES_NAME).write_bytes(content)
    card = json.loads(card_path.read_bytes())
    card["int8"] = {"ranges": RANGES_NAME}
    card["files"][RANGES_NAME] = hashlib.sha256(content).hexdigest()
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    found = proof(load_model(options.model), rest, seen=True)
    if found is None:
        sys.stdout.write("int8 costs more than it may: float32 it is\n")
        (options.model / RANGES_NAME).unlink()
        del card["int8"], card["files"][RANGES_NAME]
    else:
        sys.stdout.write(json.dumps(found) + "\n")
        card["int8"] = found
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
