"""The commands of ``python -m core`` that train, evaluate and keep model versions."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.anatomy import NOTICE
from core.cases.store import Cases
from core.errors import InputError
from core.models.folder import Model, load_model, measured_on, opened
from core.models.registry import Registry, reference_of
from core.predictor.predictor import InferenceOptions
from core.predictor.service import OpenModel
from core.settings import Settings
from core.state.claim import claim
from core.state.database import DATABASE_NAME, connect
from core.state.storage import open_storage, write_whole
from core.training.config import PRESETS, TrainingRequest, check_installed, share_cores
from core.training.data.dataset import Dataset, Datasets
from core.training.data.reviewed import follow_before
from core.training.evaluation.statistics import (
    card_metrics,
    difference_words,
    failure_words,
    failures,
    paired,
)
from core.wording import counted

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EVALUATION_NAME, PAGE_NAME, CARD_TEXT_NAME = "evaluation.json", "report.html", "card.md"
_OVERRIDES = "such as epochs=10, fold=-1 or augmentation=strong; all names: core/training/config.py"


def add_train(commands: "Commands") -> None:
    """``train`` and ``sweep``."""
    presets = " ".join(f"{name}: {what}" for name, what in PRESETS.items())
    command = commands.add_parser(
        "train",
        help="train a model on a prepared data set",
        description=f"Train in a folder of its own. {presets} Killed and called again, it goes on "
        "after its last epoch. The folder gets run.json (what was asked, versions, hashes), "
        "events.jsonl (a line an epoch), log.txt, progress.png, and model/ in the end.",
    )
    _add_request(command)
    command.add_argument("--out", metavar="RUN", type=Path, required=True, help="its folder")
    command.add_argument("--plan-only", action="store_true",
                         help="stop when the data is planned and preprocessed")  # fmt: skip
    command.set_defaults(run=_train)
    command = commands.add_parser(
        "sweep",
        help="train over a grid of values and compare",
        description="As train, with several values: --preset cpu --set learning_rate=0.01,0.003 "
        "features=8,16. Each is a run of its own, evaluated on the fold that it held out, never on "
        "the frozen test set. Killed and called again, it goes on.",
    )
    _add_request(command)
    command.add_argument("--out", metavar="FOLDER", type=Path, required=True,
                         help="of all its runs")  # fmt: skip
    command.set_defaults(run=_sweep)


def add_evaluate(commands: "Commands") -> None:
    """``evaluate`` and ``compare``."""
    command = commands.add_parser(
        "evaluate",
        help="measure models on labelled cases",
        description=f"{NOTICE} Write evaluation.json, report.html, card.md and the masks. Several "
        "models with --cases unseen are a cross-validation: each case is segmented by the first "
        "model that was not trained on it.",
    )
    command.add_argument("dataset", metavar="DATASET", help="name of a prepared data set")
    command.add_argument("models", metavar="MODEL", nargs="+",
                         help="a model folder (RUN/model) or a version's number")  # fmt: skip
    command.add_argument("--cases", choices=("test", "unseen"), default="test",
                         help="the frozen test set, or all that the models never saw")  # fmt: skip
    command.add_argument("--out", metavar="FOLDER", type=Path, required=True)
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


def add_models(commands: "Commands") -> None:
    """``models``."""
    command = commands.add_parser("models", help="the model versions of this installation")
    actions = command.add_subparsers(dest="action", required=True)
    action = actions.add_parser("list", help="all versions, the newest first")
    action.set_defaults(run=_list)
    action = actions.add_parser("add", help="register RUN/model as a candidate")
    action.add_argument("model", metavar="MODEL", type=Path, help="a model folder")
    action.add_argument("--evaluation", metavar="FILE", type=Path, help=EVALUATION_NAME)
    action.add_argument("--cross-validated", action="store_true",
                        help="of models trained in the same way without its cases")  # fmt: skip
    action.set_defaults(run=_add)
    action = actions.add_parser("export", help="write a version as a model folder")
    action.add_argument("number", metavar="N", type=int)
    action.add_argument("out", metavar="FOLDER", type=Path)
    action.add_argument("--nnunet", action="store_true",
                        help="for nnUNetv2_predict_from_modelfolder -m FOLDER -f 0")  # fmt: skip
    action.set_defaults(run=_export)
    action = actions.add_parser(
        "join",
        help="make one version of several networks, such as five folds",
        description="Write a model folder whose predictions are the average of several models' "
        "networks. It takes as many times longer for a scan. int8 is tried anew.",
    )
    action.add_argument("dataset", metavar="DATASET", help="a prepared data set to try int8 on")
    action.add_argument("models", metavar="MODEL", nargs="+",
                        help="a model folder (RUN/model) or a version's number")  # fmt: skip
    action.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    action.set_defaults(run=_join)
    action = actions.add_parser(
        "promote", help="put a version into service; a running server takes it over within seconds"
    )
    action.add_argument("number", metavar="N", type=int)
    action.set_defaults(run=_promote)


def in_service(settings: Settings) -> OpenModel:
    """Opens the version in service; the embedded model where there is no database yet."""
    if not (settings.data_dir / DATABASE_NAME).is_file():
        return lambda: opened(settings.model_dir)
    return registry_of(settings).open_serving


def registry_of(settings: Settings) -> Registry:
    """The registry of this installation, prepared."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    registry = Registry(connect(settings.data_dir), open_storage(settings), settings.model_dir)
    registry.prepare()
    return registry


def _add_request(command: argparse.ArgumentParser) -> None:
    command.add_argument("dataset", metavar="DATASET", help="name of a prepared data set")
    command.add_argument("--preset", choices=list(PRESETS), default="quick")
    command.add_argument(
        "--set", metavar="NAME=VALUE", dest="overrides", nargs="+", default=[], help=_OVERRIDES
    )


def _train(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    share_cores()
    from core.training.run_folder import is_run, train

    if not is_run(options.out):
        _follow_reviews(options.dataset, settings)
    with redirect_stdout(sys.stderr):  # nnU-Net talks
        model_folder = train(
            TrainingRequest(options.dataset, options.preset, options.overrides), options.out,
            Datasets(open_storage(settings)), in_service(settings), settings.device,
            plan_only=options.plan_only,
        )  # fmt: skip
    sys.stdout.write(f"{'Planned' if options.plan_only else model_folder}\n")
    return 0


def _sweep(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    share_cores()
    from core.training.run_folder import dataset_of, is_run, train
    from core.training.sweep import SWEEP_NAME, check_held_out, folder_of, grid, table_of

    requests = grid(TrainingRequest(options.dataset, options.preset, options.overrides))
    datasets = Datasets(open_storage(settings))
    if not options.out.exists():
        _follow_reviews(options.dataset, settings)
    with in_service(settings)() as model:
        seen = {case["content_sha256"] for case in reference_of(model)}
    for request in requests:
        check_held_out(request.config(), datasets.get(options.dataset), seen)
    claim(
        options.out, "sweep",
        known=lambda folder: all(is_run(p) or p.name == SWEEP_NAME for p in folder.iterdir()),
    )  # fmt: skip
    outcomes, sets = [], []
    for request in requests:
        folder = folder_of(request, options.out)
        with redirect_stdout(sys.stderr):
            model_folder = train(request, folder, datasets, in_service(settings), settings.device)
        dataset = dataset_of(folder, datasets, options.dataset)
        figures = _measured([str(model_folder)], dataset, "fold", folder, settings)
        outcomes.append(tuple(d["mean"] for d in figures["dice"].values()))
        sets.append(figures["test_key"])
    table = table_of(requests, outcomes, sets)
    write_whole(options.out / SWEEP_NAME, table.encode())
    sys.stdout.write(table)
    return 0


def _follow_reviews(name: str, settings: Settings) -> None:
    """Bring the data set of the reviewed cases up to date, if it is the one named."""
    if (settings.data_dir / DATABASE_NAME).is_file():
        storage = open_storage(settings)
        follow_before(name, Cases(connect(settings.data_dir), storage), storage)


def _evaluate(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    dataset = Datasets(open_storage(settings)).get(options.dataset)
    claim(options.out, "evaluation", also=("training",))
    figures = _measured(options.models, dataset, options.cases, options.out, settings)
    failed = figures["failed"]
    for label, dice in figures["dice"].items():
        of_others = f", {failed[label]} failed and not in it" if failed[label] else ""
        sys.stdout.write(
            f"{label}: Dice {dice['mean']:.4f} ({dice['low']:.4f} to {dice['high']:.4f}), HD95 "
            f"{figures['hd95_median_mm'][label]} mm in the median{of_others}\n"
        )
    sys.stdout.write(f"{options.out / PAGE_NAME}\n")
    return 0


def _measured(
    models: Sequence[str], dataset: Dataset, cases: str, out: Path, settings: Settings
) -> dict[str, Any]:
    """Evaluate models and write the evaluation, its page, the card and the masks.

    Parameters
    ----------
    cases
        ``test`` for the frozen test set, ``unseen`` for all that the models never saw, ``fold``
        for those of them that are not in the frozen test set.
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
            with _model(text, settings) as model:
                seen = {case["content_sha256"] for case in reference_of(model)}
                names = [
                    name
                    for name in sorted(remaining)
                    if cases == "test" or dataset.cases[name].content_sha256 not in seen
                ]
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


@contextmanager
def _model(text: str, settings: Settings) -> Iterator[Model]:
    if text.isdecimal():
        with registry_of(settings).open(int(text)) as model:
            yield model
    else:
        yield load_model(Path(text))


def _compare(options: argparse.Namespace, settings: Settings) -> int:
    before, after = (_evaluation(path) for path in (options.before, options.after))
    for label, difference in paired(before, after).items():
        sys.stdout.write(f"{label}: {difference_words(difference)}\n")
    for when, figures in (("before", before), ("after", after)):
        sys.stdout.write(f"{when}: {failure_words(failures(figures), len(figures['cases']))}\n")
    return 0


def _evaluation(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not an evaluation", "Make one: python -m core evaluate", code="bad_request"
        ) from error


def _list(options: argparse.Namespace, settings: Settings) -> int:
    for version in registry_of(settings).find():
        metrics = version.card["metrics"]
        dice = metrics["dice"]
        sys.stdout.write(
            f"{version.number}  {version.stage:9}  {version.created_at[:16]}  Dice "
            f"{dice['anterior']['mean']:.3f} {dice['posterior']['mean']:.3f}  "
            f"{version.card['name']}, on {measured_on(metrics)}\n"
        )
    return 0


def _add(options: argparse.Namespace, settings: Settings) -> int:
    model = load_model(options.model)
    evaluations, metrics = {}, model.card.get("metrics")
    if options.evaluation:
        figures = _evaluation(options.evaluation)
        evaluations = {} if options.cross_validated else {figures["test_key"]: figures}
        metrics = card_metrics(
            figures, f"data set {figures['dataset']}", cross_validated=options.cross_validated
        )
    if metrics is None:
        raise InputError(
            "The model has no figures", "Evaluate it and give --evaluation.", code="bad_request"
        )
    files = {name: (model.folder / name).read_bytes() for name in model.card["files"]}
    version = registry_of(settings).add(
        model.card | {"metrics": metrics}, files, evaluations, _lineage(options.model)
    )
    sys.stdout.write(f"Version {version.number} is a candidate.\n")
    return 0


def _lineage(model: Path) -> dict[str, Any]:
    """How a model was trained, from ``run.json`` beside its folder."""
    note = model.parent / "run.json"
    if not note.is_file():
        return {"source": "added on the command line"}
    run: dict[str, Any] = json.loads(note.read_bytes())
    return run | {"parent": None, "job": None}


def _export(options: argparse.Namespace, settings: Settings) -> int:
    with registry_of(settings).open(options.number) as model:
        claim(options.out, "model")
        if options.nnunet:
            check_installed()
            from core.predictor.checkpoint import write_for_nnunet

            write_for_nnunet(model, options.out)
            sys.stdout.write(f"{options.out}\n")
            return 0
        for name in (*model.card["files"], "card.json"):
            write_whole(options.out / name, (model.folder / name).read_bytes())
    sys.stdout.write(f"{options.out}\n")
    return 0


def _join(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    from core.training.join import join

    storage = open_storage(settings)
    dataset = Datasets(storage).get(options.dataset)
    with (
        ExitStack() as stack,
        storage.local(f"datasets/{dataset.name}") as files,
        tempfile.TemporaryDirectory() as scratch,
    ):
        models = [stack.enter_context(_model(text, settings)) for text in options.models]
        claim(options.out, "model")
        join(models, dataset, files, Path(scratch)).write(options.out)
    sys.stdout.write(f"{options.out}\n")
    return 0


def _promote(options: argparse.Namespace, settings: Settings) -> int:
    registry_of(settings).promote(options.number)
    sys.stdout.write(f"Version {options.number} is in service.\n")
    return 0
