"""Calibrations for tests: rows whose Dice follows from their signals, and a model that has one."""

import shutil
from pathlib import Path

import numpy as np

from core.commands.calibrate import write_calibration
from core.models.folder import Model, load_model
from core.predictor.signals import Votes, signals_of
from core.settings import Settings
from core.training.evaluation.calibration import Row, calibration_file, fitted
from core.training.evaluation.calibration_figures import cross_fitted, figures_of
from core.training.evaluation.shifts import CALIBRATED, OTHERS


def logits_of(labels: np.ndarray, sureness: float = 4.0) -> np.ndarray:
    """Logits of a network that is as sure of each label."""
    return np.stack([sureness * (labels == value) for value in range(3)]).astype(np.float32)


def crop_labels() -> np.ndarray:
    labels = np.zeros((30, 44, 30), np.uint8)
    labels[10:20, 8:26, 10:20], labels[10:20, 26:36, 10:20] = 2, 1
    return labels


def votes_of(*labels: np.ndarray) -> Votes:
    votes = Votes.none(labels[0].shape)
    for one in labels:
        votes.add((slice(None),) * 3, logits_of(one))
    return votes


def rows(persons: int = 24, copies: int = 2, seed: int = 0) -> list[Row]:
    """What a network makes of crops: the worse the change, the less sure, the more it errs."""
    random = np.random.default_rng(seed)
    labels = crop_labels()
    plain = signals_of(logits_of(labels), votes_of(labels, labels))
    made = []
    for person in range(persons):
        for kind in (*CALIBRATED, *OTHERS):
            for draw in range(copies):
                bad = 0.0 if kind == "as it is" else random.uniform(0, 1)
                signals = {name: v + random.normal(0, 0.1) for name, v in plain.items()}
                signals |= {n: v + 2 * bad for n, v in signals.items() if n.startswith("doubt")}
                dice = float(np.clip(1 - 0.08 * np.exp(1.8 * bad) + random.normal(0, 0.01), 0, 1))
                truth = random.uniform(900, 1400)
                mask = truth * float(np.exp(random.normal(0.1 * bad, 0.02 + 0.1 * bad)))
                parts = ("whole", "anterior", "posterior")
                made.append(Row(
                    f"p{person}", f"c{person}", kind, draw, signals, dict.fromkeys(parts, dice),
                    {"whole": 2 * mask, "anterior": mask, "posterior": mask},
                    {"whole": 2 * truth, "anterior": truth, "posterior": truth}, "",
                ))  # fmt: skip
    return made


def calibrated_model(folder: Path, *, mirroring: str = "auto", sha256: str = "") -> Model:
    """The embedded model with a calibration of made-up rows."""
    shutil.copytree(Settings().model_dir, folder)
    model = load_model(folder)
    known = rows(12, 1)
    about = {
        "model_sha256": sha256 or model.sha256, "mirroring": mirroring,
        "measured_with": {"name": "made up", "sha256": ""},
        "figures": figures_of(cross_fitted(known)),
    }  # fmt: skip
    used = [row for row in known if row.kind in CALIBRATED]
    write_calibration(model, calibration_file(fitted(used), about))
    return load_model(folder)
