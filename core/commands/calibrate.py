"""``calibrate``: what to expect of a model version's masks, measured on cases that it never saw."""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.models.folder import CALIBRATION_NAME, CARD_NAME, Model, load_model
from core.models.registry import reference_of
from core.predictor.calibrate import read_labelled
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import Settings
from core.state.storage import write_whole
from core.training.data.patients import DECATHLON, grouped, looks_like_decathlon, rule_of
from core.training.data.source import opened, pairs_of
from core.training.evaluation.calibration import (
    MIN_PERSONS,
    Row,
    Source,
    calibration_file,
    crop_of,
    fitted,
    row_line,
    rows_from,
    rows_of,
)
from core.training.evaluation.calibration_figures import (
    cross_fitted,
    figures_of,
    lines_of,
    summary_of,
)
from core.training.evaluation.shifts import CALIBRATED, OTHERS

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``calibrate``."""
    command = commands.add_parser(
        "calibrate",
        help="measure what to expect of a model's masks, on cases that it never saw",
        description="Segment labelled crops of persons that NETWORK never saw, as they are and "
        "changed in known ways, and write what its signals say of the overlap with an expert and "
        "of the volumes into MODEL, a model folder, as calibration.json.",
    )
    command.add_argument("model", metavar="MODEL", type=Path, help="the folder that it is for")
    command.add_argument("data", metavar="DATA", type=Path, help="imagesTr and labelsTr")
    command.add_argument("--by", metavar="NETWORK", type=Path,
                         help="a model trained in the same way without these persons; by default "
                         "MODEL itself")  # fmt: skip
    command.add_argument("--draws", metavar="N", type=int, default=2,
                         help="copies of each case with each change (default 2)")  # fmt: skip
    command.add_argument("--rows", metavar="FILE", type=Path,
                         help="keep what was measured here, and go on from it")  # fmt: skip
    command.add_argument("--dry-run", action="store_true", help="print the figures, write nothing")
    command.set_defaults(run=_calibrate)


def _calibrate(options: argparse.Namespace, settings: Settings) -> int:
    model = load_model(options.model)
    network = load_model(options.by or options.model)
    rows = list(_measured(network, options, settings))
    persons = len({row.person for row in rows})
    if persons < MIN_PERSONS:
        raise InputError(
            f"{persons} of these persons were never seen by {network.name}; a calibration needs "
            f"{MIN_PERSONS}",
            "Give --by a network that was trained without some of them.",
            code="too_few",
        )
    figures = figures_of(cross_fitted(rows))
    for line in lines_of(figures):
        sys.stdout.write(f"{line}\n")
    if options.dry_run:
        return 0
    about = {
        "model_sha256": model.sha256,
        "mirroring": settings.mirroring,
        "measured_with": {"name": network.name, "sha256": network.sha256},
        "figures": figures,
    }
    known = [row for row in rows if row.kind in CALIBRATED and not row.is_empty]
    write_calibration(model, calibration_file(fitted(known), about))
    sys.stdout.write(f"{options.model / CALIBRATION_NAME}\n")
    return 0


def write_calibration(model: Model, content: bytes) -> None:
    """Put a calibration into a model folder, and its hash into the card."""
    card: dict[str, Any] = json.loads((model.folder / CARD_NAME).read_bytes())
    card["files"][CALIBRATION_NAME] = hashlib.sha256(content).hexdigest()
    card["calibration"] = summary_of(content)
    write_whole(model.folder / CALIBRATION_NAME, content)
    write_whole(model.folder / CARD_NAME, (json.dumps(card, indent=2) + "\n").encode())


def _measured(network: Model, options: argparse.Namespace, settings: Settings) -> Iterator[Row]:
    known = rows_from(options.rows) if options.rows else []
    yield from known
    with opened(options.data) as root, tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sources = _unseen(network, root, scratch)
        predictor = loaded(network, InferenceOptions.from_settings(settings))
        try:
            rows = rows_of(predictor, sources, scratch, CALIBRATED | OTHERS, options.draws, known)
            for row in rows:
                if options.rows:
                    with options.rows.open("a") as file:
                        file.write(row_line(row))
                yield row
        finally:
            predictor.close()


def _unseen(network: Model, root: Path, scratch: Path) -> list[Source]:
    """The cases of persons of whom the network saw nothing."""
    seen = {case["content_sha256"] for case in reference_of(network)}
    if not seen:
        raise InputError(
            f"{network.name} does not say what it was trained on",
            "Give --by a model folder with a reference.json.",
            code="no_reference",
        )
    pairs, _, _ = pairs_of(root)
    description = root / "dataset.json"
    rule = rule_of(json.loads(description.read_bytes())) if description.is_file() else ""
    if not rule and looks_like_decathlon(pairs):
        rule = DECATHLON
    people = {case: person for case, (person, _) in grouped(pairs, rule=rule).items()}
    cases = {case: read_labelled(image, label, scratch) for case, (image, label) in pairs.items()}
    known = {people[case] for case in cases if cases[case].scan.content_sha256 in seen}
    return [
        Source(people[case], case, partial(crop_of, *pairs[case], scratch))
        for case in cases
        if people[case] not in known
    ]
