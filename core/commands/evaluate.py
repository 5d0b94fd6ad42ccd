"""``evaluate`` and ``compare``: how good models are."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.anatomy import NOTICE
from core.commands.evaluate_heads import (
    EVALUATION_NAME,
    PAGE_NAME,
    add_arguments,
    evaluate_heads_of,
)
from core.commands.installation import model_named, warn_of_split
from core.errors import InputError
from core.models.registry import reference_of
from core.predictor.predictor import InferenceOptions
from core.settings import Settings
from core.state.claim import claim
from core.state.storage import open_storage, write_whole
from core.training.config import check_installed
from core.training.data.dataset import Dataset, Datasets
from core.training.evaluation.gate_crops import is_of_crops
from core.training.evaluation.statistics import (
    difference_words,
    failure_words,
    failures,
    paired,
)
from core.wording import counted

if TYPE_CHECKING:
    from core.commands.installation import Commands

CARD_TEXT_NAME = "card.md"


def add_commands(commands: "Commands") -> None:
    """``evaluate`` and ``compare``."""
    command = commands.add_parser(
        "evaluate",
        help="measure models on labelled cases",
        description=f"{NOTICE} Write evaluation.json, report.html, card.md and the masks. Several "
        "models with --cases unseen are a cross-validation: each case is segmented by the first "
        "model that was not trained on it. With --heads DIR MODEL [MODEL...] they are measured on "
        "whole heads instead.",
    )
    positional = [
        command.add_argument("dataset", metavar="DATASET", help="name of a prepared data set"),
        command.add_argument("models", metavar="MODEL", nargs="+",
                             help="a model folder (RUN/model) or a version's number"),
    ]  # fmt: skip
    command.add_argument("--cases", choices=("test", "unseen"), default="test",
                         help="the frozen test set, or all of patients never seen")  # fmt: skip
    command.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    add_arguments(command, positional)
    command.set_defaults(run=_evaluate)
    command = commands.add_parser(
        "compare",
        help="compare two evaluations case by case",
        description="The second against the first, case by case: mean difference of the Dice with "
        "its 95 % interval, Wilcoxon's signed-rank test, and how many masks lack a label. Two "
        "evaluations of different cases are refused.",
    )
    command.add_argument("before", metavar="BEFORE", type=Path, help=EVALUATION_NAME)
    command.add_argument("after", metavar="AFTER", type=Path, help=EVALUATION_NAME)
    command.set_defaults(run=_compare)


def _evaluate(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    if options.heads:
        return evaluate_heads_of(options, settings)
    dataset = Datasets(open_storage(settings)).get(options.dataset)
    claim(options.out, "evaluation", also=("training",))
    warn_of_split(dataset)
    figures = measured(options.models, dataset, options.cases, options.out, settings)
    failed = figures["failed"]
    for label, dice in figures["dice"].items():
        of_others = f", {failed[label]} failed and not in it" if failed[label] else ""
        sys.stdout.write(
            f"{label}: Dice {dice['mean']:.4f} ({dice['low']:.4f} to {dice['high']:.4f}), HD95 "
            f"{figures['hd95_median_mm'][label]} mm in the median{of_others}\n"
        )
    sys.stdout.write(f"{options.out / PAGE_NAME}\n")
    return 0


def measured(
    models: Sequence[str], dataset: Dataset, cases: str, out: Path, settings: Settings
) -> dict[str, Any]:
    """Evaluate models and write the evaluation, its page, the card and the masks.

    Parameters
    ----------
    cases
        ``test`` for the frozen test set, ``unseen`` for all of patients that the models never saw,
        ``fold`` for those of them that are not in the frozen test set.
    """
    from core.training.evaluation.evaluate import evaluate, evaluation_file, mask_file, summary
    from core.training.evaluation.report import card_text, evaluation_page

    candidates = {"test": dataset.test, "unseen": list(dataset.cases), "fold": dataset.training}
    masks = out / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    remaining = set(candidates[cases])
    rows: list[dict[str, Any]] = []
    with (
        open_storage(settings).local(f"datasets/{dataset.name}") as files,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for text in models:
            with model_named(text, settings) as model:
                seen = {case["content_sha256"] for case in reference_of(model)}
                known = set() if cases == "test" else dataset.known_to(seen)
                names = sorted(remaining - known)
                remaining -= set(names)
                if not names:
                    continue
                card = model.card
                rows += evaluate(
                    model, dataset, names, files, Path(scratch),
                    InferenceOptions.from_settings(settings), seen,
                    on_mask=lambda name, labels, affine: write_whole(
                        masks / f"{name}.nii.gz", mask_file(labels, affine)
                    ),
                )["cases"]  # fmt: skip
        if not rows:
            raise InputError(
                "There is no case to evaluate on",
                "Every case was seen in training: take --cases test.",
                code="bad_request",
            )
        figures = summary(dataset, rows)
        title = f"{card['name']}, {counted(len(models), 'model')}"
        write_whole(out / EVALUATION_NAME, evaluation_file(figures))
        write_whole(out / PAGE_NAME, evaluation_page(figures, title, dataset, files, masks))
        write_whole(out / CARD_TEXT_NAME, card_text(card, figures).encode())
    return figures


def _compare(options: argparse.Namespace, settings: Settings) -> int:
    before, after = (read_evaluation(path) for path in (options.before, options.after))
    for label, difference in paired(before, after).items():
        sys.stdout.write(f"{label}: {difference_words(difference)}\n")
    for when, figures in (("before", before), ("after", after)):
        sys.stdout.write(f"{when}: {failure_words(failures(figures), len(figures['cases']))}\n")
    return 0


def read_evaluation(path: Path) -> Any:
    """The figures that ``evaluate`` wrote.

    Raises
    ------
    InputError
        It is no such file, or one of whole heads.
    """
    try:
        figures = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not an evaluation", "Make one: python -m core evaluate", code="bad_request"
        ) from error
    if isinstance(figures, dict) and "kind" in figures:
        raise InputError(
            f"{path} is an evaluation on whole heads, not on the cases of a data set",
            "Give that of: python -m core evaluate DATASET. A version is tested on heads by: "
            "python -m core models test N",
            code="bad_request",
        )
    if not is_of_crops(figures):
        raise InputError(
            f"{path} is not an evaluation", "Make one: python -m core evaluate", code="bad_request"
        )
    return figures
