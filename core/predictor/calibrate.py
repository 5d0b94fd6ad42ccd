"""int8 for a model version: the value ranges it needs, and the proof that its masks are as good.

``python -m core.predictor.calibrate MODEL DATA`` does it for a model folder, with a data set in
the Decathlon's layout, and writes the result into its card. With ``--proof-only`` the ranges stay
as they are and only the proof is repeated, on the frozen test set of a prepared data set.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.anatomy import LABELS
from core.image import nifti, volume
from core.image.intake import vetted
from core.image.volume import Volume
from core.models.folder import CARD_NAME, Model, load_model
from core.predictor import window
from core.predictor.predictor import InferenceOptions, loaded
from core.predictor.preprocess import prepare
from core.predictor.recipe import recipe_of
from core.state.storage import write_whole

RANGES_NAME = "int8.json"
_REFERENCE_NAME = "reference.json"
# What int8 may cost; beyond that it is used only on request: the loss of Dice against the experts,
# and for each label the Dice between int8's and float32's masks, on average and in any one case.
# (Agreement over all voxels would prove nothing: 95 % are background, where networks never differ.)
LARGEST_DICE_LOSS = 0.0005
SMALLEST_AGREEMENT = 0.995
SMALLEST_AGREEMENT_OF_A_CASE = 0.97
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
        Not those that the ranges were learned from.
    seen
        Whether the model was trained on them.

    Returns
    -------
    dict or None
        For the card; None where int8 costs more than it may. ``foreground``: for each label the
        Dice of both masks, on average and in the worst case. ``agreement``: share of all voxels
        with the same label, for information only.
    """
    choices = [InferenceOptions(device="cpu", precision=p) for p in ("float32", "int8")]
    predictors = [loaded(model, options) for options in choices]
    dice: list[list[list[float]]] = []
    same: list[float] = []
    agreed: list[list[float]] = []
    for case in cases:
        masks = [p.segment(case.scan).labels for p in predictors]
        same.append(float((masks[0] == masks[1]).mean()))
        agreed.append([_dice(masks[0] == v, masks[1] == v) for v in LABELS.values()])
        dice.append([[_dice(m == v, case.truth == v) for v in LABELS.values()] for m in masks])
    for predictor in predictors:
        predictor.close()
    change = np.diff(np.array(dice), axis=1)[:, 0].mean(0)
    mean, worst = np.mean(agreed, axis=0), np.min(agreed, axis=0)
    if (
        change.min() < -LARGEST_DICE_LOSS
        or mean.min() < SMALLEST_AGREEMENT
        or worst.min() < SMALLEST_AGREEMENT_OF_A_CASE
    ):
        return None
    return {
        "ranges": RANGES_NAME,
        "cases": len(cases),
        "seen_in_training": seen,
        "dice_change": {name: round(float(c), 5) for name, c in zip(LABELS, change, strict=True)},
        "foreground": {
            name: {"dice": round(float(m), 5), "worst": round(float(w), 5)}
            for name, m, w in zip(LABELS, mean, worst, strict=True)
        },
        "agreement": round(float(np.mean(same)), 6),
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
        # A slope in the header may give 0.996 for 1.
        truth = volume.to_ras(np.rint(stored), file.header).astype(np.uint8)
    return Labelled(loaded_scan, truth)


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def _labelled(folder: Path) -> list[Labelled]:
    """The frozen test set of a prepared data set, else all cases of a folder."""
    part, mark = ("Ts", "_0000") if (folder / "imagesTs").is_dir() else ("Tr", "")
    with tempfile.TemporaryDirectory() as scratch:
        return [
            read_labelled(
                path, folder / f"labels{part}" / path.name.replace(f"{mark}.nii", ".nii"),
                Path(scratch),
            )
            for path in sorted((folder / f"images{part}").glob("[!.]*.nii.gz"))
        ]  # fmt: skip


def _was_seen(model: Model, cases: Sequence[Labelled]) -> bool:
    """Whether the model was trained on any of the cases; True if it has no list of its cases."""
    if _REFERENCE_NAME not in model.card["files"]:
        return True
    trained_on = {case["content_sha256"] for case in model.json(_REFERENCE_NAME)["cases"]}
    return any(case.scan.content_sha256 in trained_on for case in cases)


def main(arguments: list[str]) -> int:
    """The command line. The model's folder is written to at the end, and only there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, help="imagesTr and labelsTr, or a prepared data set")
    parser.add_argument("--proof-only", action="store_true", help="keep the ranges of the card")
    options = parser.parse_args(arguments)
    card = load_model(options.model).card
    if (options.model / RANGES_NAME).is_file() and RANGES_NAME not in card["files"]:
        sys.stderr.write(f"{RANGES_NAME} in this folder is not the model's: move it away.\n")
        return 2
    if options.proof_only and "int8" not in card:
        sys.stderr.write("The card names no ranges: leave out --proof-only to learn them.\n")
        return 2
    cases = _labelled(options.data)
    every = max(1, len(cases) // CALIBRATION_CASES)
    rest = cases if options.proof_only else [c for i, c in enumerate(cases) if i % every]
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "model"
        shutil.copytree(options.model, copy)
        if not options.proof_only:
            content = ranges_file(load_model(copy), [case.scan for case in cases[::every]])
            (copy / RANGES_NAME).write_bytes(content)
            card["files"][RANGES_NAME] = hashlib.sha256(content).hexdigest()
        card["int8"] = {"ranges": RANGES_NAME}
        (copy / CARD_NAME).write_bytes(_card_file(card))
        model = load_model(copy)
        result = proof(model, rest, seen=_was_seen(model, rest))
        ranges = (copy / RANGES_NAME).read_bytes()
    if result is None:
        sys.stdout.write("int8 costs more than it may: float32 it is\n")
        (options.model / RANGES_NAME).unlink(missing_ok=True)
        del card["int8"], card["files"][RANGES_NAME]
    else:
        sys.stdout.write(json.dumps(result) + "\n")
        card["int8"] = result
        write_whole(options.model / RANGES_NAME, ranges)
    write_whole(options.model / CARD_NAME, _card_file(card))
    return 0 if result else 1


def _card_file(card: dict[str, Any]) -> bytes:
    return (json.dumps(card, indent=2) + "\n").encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
