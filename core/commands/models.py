"""``models``: the model versions of this installation."""

import argparse
import json
import os
import pwd
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cases.store import Cases
from core.commands.evaluate import read_evaluation
from core.commands.evaluate_heads import EVALUATION_NAME
from core.commands.installation import model_named, registry_of
from core.errors import InputError
from core.models.folder import load_model, measured_on
from core.predictor.predictor import InferenceOptions, loaded
from core.predictor.service import OpenModel
from core.settings import Settings
from core.state.claim import claim
from core.state.database import connect
from core.state.storage import open_storage, write_whole
from core.training.config import check_installed
from core.training.data.dataset import Datasets
from core.training.evaluation.statistics import card_metrics
from core.training.evaluation.verdict import Verdict
from core.training.promotion import margins_of, promote, verdict_on

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
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
    action = actions.add_parser(
        "test", help="measure a version, and the one in service, on whole heads and test cases"
    )
    action.add_argument("number", metavar="N", type=int)
    action.add_argument("--dataset", metavar="NAME",
                        help="whose frozen test set is measured and timed on; by default that "
                        "which the version was trained on, if it is here")  # fmt: skip
    action.set_defaults(run=_test)
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
        "mix",
        help="make one network of two by averaging their weights",
        description="Write a model folder whose weights are the weighted mean of two models', of "
        "which one was trained on from the other. Drift is compared with what the first was "
        "trained on.",
    )
    action.add_argument("first", metavar="FIRST", help="a model folder or a version's number")
    action.add_argument("second", metavar="SECOND", help="a model folder or a version's number")
    action.add_argument("--share", type=float, default=0.5, help="of SECOND (default 0.5)")
    action.add_argument("--int8", metavar="DATASET",
                        help="a prepared data set to try int8 on; without it the model is served "
                        "in float32")  # fmt: skip
    action.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    action.set_defaults(run=_mix)
    action = actions.add_parser(
        "promote", help="put a version into service; a running server takes it over within seconds"
    )
    action.add_argument("number", metavar="N", type=int)
    action.add_argument("--reason", metavar="TEXT", default="",
                        help="why, although the gate stops it; kept in the history")  # fmt: skip
    action.set_defaults(run=_promote)
    action = actions.add_parser(
        "judge", help="what the gate says of a version against the one in service"
    )
    action.add_argument("number", metavar="N", type=int)
    action.set_defaults(run=_judge)


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
        figures = read_evaluation(options.evaluation)
        of_this = options.cross_validated or figures.get("sha256", model.sha256) == model.sha256
        if not of_this:
            raise InputError(
                f"{options.evaluation} is an evaluation of another model",
                "Evaluate this one, or give --cross-validated if it is of networks trained alike.",
                code="bad_request",
            )
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


def _test(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    from core.training.evaluation.version_tests import measure_version

    registry, storage = registry_of(settings), open_storage(settings)
    name = options.dataset or registry.get(options.number).lineage.get("dataset", "")
    datasets = {dataset.name: dataset for dataset in Datasets(storage).find()}
    if options.dataset and name not in datasets:
        Datasets(storage).get(name)  # says why not
    dataset = datasets.get(name)
    if dataset is None:
        sys.stderr.write("No data set: heads alone are measured, and no time (--dataset NAME).\n")
    cases = Cases(connect(settings.data_dir), storage)
    for line in measure_version(options.number, registry, cases, storage, dataset, settings):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Version {options.number} was measured: compare it on the Models page.\n")
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
        models = [stack.enter_context(model_named(text, settings)) for text in options.models]
        claim(options.out, "model")
        join(models, dataset, files, Path(scratch)).write(options.out)
    sys.stdout.write(f"{options.out}\n")
    return 0


def _mix(options: argparse.Namespace, settings: Settings) -> int:
    check_installed()
    from core.training.mix import mix
    from core.training.package import with_int8

    storage = open_storage(settings)
    dataset = Datasets(storage).get(options.int8) if options.int8 else None
    with (
        model_named(options.first, settings) as first,
        model_named(options.second, settings) as second,
        tempfile.TemporaryDirectory() as scratch,
    ):
        package = mix(first, second, options.share)
        claim(options.out, "model")
        if dataset is not None:
            with storage.local(f"datasets/{dataset.name}") as files:
                package = with_int8(package, dataset, files, Path(scratch))
        package.write(options.out)
    sys.stdout.write(f"{options.out}\n")
    return 0


def _judge(options: argparse.Namespace, settings: Settings) -> int:
    _print_verdict(verdict_on(registry_of(settings), options.number, margins_of(settings)))
    return 0


def _promote(options: argparse.Namespace, settings: Settings) -> int:
    registry, margins = registry_of(settings), margins_of(settings)

    def swap(open_model: OpenModel, keep: Callable[[], None]) -> None:
        with open_model() as model:  # what cannot serve is not put into service
            predictor = loaded(model, InferenceOptions.from_settings(settings))
            predictor.warm_up()
            predictor.close()
        keep()

    seen = verdict_on(registry, options.number, margins)
    _print_verdict(seen)
    promote(
        registry, options.number, swap, margins,
        by=f"{_user()} (command line)", reason=options.reason, seen=seen.key,
    )  # fmt: skip
    sys.stdout.write(f"Version {options.number} is in service.\n")
    return 0


def _print_verdict(verdict: Verdict) -> None:
    for check in verdict.checks:
        sys.stdout.write(f"{check.line}\n")
    said = "passes" if verdict.passed else "is stopped by"
    sys.stdout.write(f"Version {verdict.after} {said} the gate.\n")


def _user() -> str:
    """The account that runs this command."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name  # not what the environment says
    except KeyError:  # a container's user may have no account
        return f"user {os.getuid()}"
