"""``evaluate --heads``: how good models are on whole heads."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from core.commands.installation import model_named
from core.errors import InputError
from core.models.registry import reference_of
from core.pipeline import Analysis
from core.predictor.predictor import InferenceOptions
from core.settings import Settings
from core.state.claim import claim
from core.state.storage import write_whole
from core.training.evaluation.head_figures import BY_LABEL, WHOLE
from core.wording import counted

EVALUATION_NAME, PAGE_NAME = "evaluation.json", "report.html"
# Words of the command line for the protocols.
PROTOCOLS = {"anterior-posterior": BY_LABEL, "whole": WHOLE}
SYNTHETIC_HEADS = "synthetic"


class HeadsAction(argparse.Action):
    """``--heads DIR MODEL [MODEL...]`` takes the place of the positional arguments."""

    def __init__(self, *arguments: Any, instead_of: Sequence[argparse.Action], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._instead_of = instead_of

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
        values: Any, option_string: str | None = None,
    ) -> None:  # fmt: skip
        """Keep the folder and the models, and ask for nothing else."""
        if len(values) < 2:
            parser.error("--heads needs a folder and a model")
        setattr(namespace, self.dest, values)
        for action in self._instead_of:
            action.required = False


def add_arguments(command: argparse.ArgumentParser, instead_of: Sequence[argparse.Action]) -> None:
    """The options of whole heads.

    Parameters
    ----------
    instead_of
        The positional arguments that are not needed with ``--heads``.
    """
    of_heads = command.add_argument_group(
        "whole heads", "From the file to the mask, as in use: found, missed, side errors, volumes."
    )
    of_heads.add_argument(
        "--heads", metavar=("DIR", "MODEL"), nargs="+", action=HeadsAction, instead_of=instead_of,
        help="a folder or tar with imagesTr and labelsTr, or a folder of heads (with "
        f"--references), or the word {SYNTHETIC_HEADS}; then the models",
    )  # fmt: skip
    of_heads.add_argument("--references", metavar="FOLDER", type=Path,
                          help="label files named as the heads of DIR")  # fmt: skip
    of_heads.add_argument(
        "--protocol",
        choices=tuple(PROTOCOLS),
        help="what the labels mean: 1 anterior and 2 posterior on both sides (or 1 to 4 as in "
        "Mask by side), or one value for each whole hippocampus",
    )
    of_heads.add_argument("--values", metavar="LEFT,RIGHT", default="1,2",
                          help="with --protocol whole; 1,2 by default")  # fmt: skip


def evaluate_heads_of(options: argparse.Namespace, settings: Settings) -> int:
    """Evaluate models on whole heads, print a table, write figures, masks and a page."""
    from core.training.evaluation.head_sets import folder_set, synthetic_set

    folder, *models = options.heads
    is_synthetic = folder == SYNTHETIC_HEADS and not Path(folder).exists()
    protocol = _protocol(options, needed=not is_synthetic)
    claim(options.out, "evaluation", also=("training",))
    with tempfile.TemporaryDirectory(prefix="hippoview-") as name:
        scratch = Path(name)
        heads = (
            nullcontext(synthetic_set(settings.test_heads, scratch))
            if is_synthetic
            else folder_set(Path(folder), options.references, protocol, scratch)
        )
        with heads as head_set:
            if not head_set.heads:
                raise InputError("There is no head to evaluate on",
                                 "Set HIPPOVIEW_TEST_HEADS to a number above 0.",
                                 code="bad_request")  # fmt: skip
            for head, why in sorted(head_set.left_out.items()):
                sys.stderr.write(f"left out  {head}: {why}\n")
            in_words = head_set.protocol if is_synthetic else protocol.in_words
            results = _measured(models, head_set, options.out, scratch, settings)
            _write(results, head_set, in_words, options.out)
    sys.stdout.write(
        f"{counted(len(head_set.heads), 'head')} of {head_set.source}, protocol: {in_words}\n"
    )
    for line in table_lines(results):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{options.out / PAGE_NAME}\n")
    return 0


def _protocol(options: argparse.Namespace, *, needed: bool) -> Any:
    from core.training.evaluation.references import Protocol

    if options.protocol is None:
        if not needed:
            return Protocol(BY_LABEL)
        raise InputError(
            "1 and 2 may mean anterior and posterior, or left and right",
            f"Say what the labels mean: --protocol {' or '.join(PROTOCOLS)}.",
            code="bad_request",
        )
    try:
        left, right = (int(value) for value in options.values.split(","))
    except ValueError as error:
        raise InputError(
            f"--values is {options.values!r}", "Give two numbers: --values 1,2", code="bad_request"
        ) from error
    return Protocol(PROTOCOLS[options.protocol], left, right)


def _measured(
    models: Sequence[str], head_set: Any, out: Path, scratch: Path, settings: Settings
) -> list[dict[str, Any]]:
    from core.training.evaluation.heads import evaluate_heads

    results = []
    for number, text in enumerate(models):
        masks = out / "masks" / str(number + 1)
        masks.mkdir(parents=True, exist_ok=True)

        def keep(head: Any, result: Analysis, masks: Path = masks) -> None:
            write_whole(masks / f"{head.name}.nii.gz", result.mask_file)

        with model_named(text, settings) as model:
            seen = {case["content_sha256"] for case in reference_of(model)}
            figures = evaluate_heads(
                model, head_set, scratch, InferenceOptions.from_settings(settings), seen,
                on_analysis=keep,
            )  # fmt: skip
            results.append({"model": text, "name": model.card["name"], "sha256": model.sha256,
                            "figures": figures})  # fmt: skip
    return results


def _write(results: list[dict[str, Any]], head_set: Any, protocol: str, out: Path) -> None:
    from core.training.evaluation.evaluate import evaluation_file
    from core.training.evaluation.heads_report import heads_page

    content = {
        "format": 1, "kind": "heads", "protocol": protocol, "left_out": head_set.left_out,
        "models": results,
    }  # fmt: skip
    write_whole(out / EVALUATION_NAME, evaluation_file(content))
    write_whole(out / PAGE_NAME, heads_page(results, head_set, protocol, out / "masks"))


def table_lines(results: Sequence[dict[str, Any]]) -> list[str]:
    """The figures of some models as the lines of a table."""
    from core.training.evaluation.heads_report import SUMMARY_HEADS, summary_rows

    rows = [SUMMARY_HEADS, *summary_rows(results)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(SUMMARY_HEADS))]
    words = 2  # the model and the side; numbers stand to the right
    return [
        "  ".join(
            cell.ljust(width) if n < words else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
