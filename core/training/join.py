"""Joins several networks into one version that averages them, as nnU-Net does with folds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.models.folder import Model
from core.models.registry import REFERENCE_NAME, reference_of
from core.predictor.recipe import recipe_of
from core.training.data.dataset import Dataset
from core.training.package import PackagedModel, with_int8
from core.training.reference import reference_file


def join(models: Sequence[Model], dataset: Dataset, files: Path, scratch: Path) -> PackagedModel:
    """Package the networks of several models as one version.

    Parameters
    ----------
    models
        With the same plans: only the weights may differ.
    dataset, files
        The data set, to try int8 on, as after a training.
    scratch
        A folder for temporary files.

    Raises
    ------
    ModelError
        There are fewer than two, or they are not of the same kind.
    """
    first = models[0]
    if len(models) < 2:
        raise ModelError("There is only one model", "Name at least two.")
    for model in models[1:]:
        if kind_of(model) != kind_of(first):
            raise ModelError(
                f"{model.name} and {first.name} are not networks of the same kind",
                "Join models whose trainings differ in their cases, their seed or their length.",
            )
    weights = [path.read_bytes() for model in models for path in model.weights]
    names = [f"weights-{number}.safetensors" for number in range(1, len(weights) + 1)]
    reference = _reference(models)
    parts = {
        **dict(zip(names, weights, strict=True)),
        "plans.json": (first.folder / "plans.json").read_bytes(),
        "dataset.json": (first.folder / "dataset.json").read_bytes(),
        REFERENCE_NAME: reference_file(reference),
    }
    network = {**first.card["network"], "Networks": f"{len(weights)}, their predictions averaged"}
    card = card_of(models) | {"weights": names, "network": network}
    package = PackagedModel(card, parts, {case["content_sha256"] for case in reference})
    return with_int8(package, dataset, files, scratch)


def kind_of(model: Model) -> Any:
    """What two models must have in common so that their networks can be averaged."""
    recipe = vars(recipe_of(model))
    return recipe, model.configuration, model.labels


def _reference(models: Sequence[Model]) -> list[dict[str, Any]]:
    """The training cases of all of them; inherited where none of them saw a case itself."""
    cases: dict[str, dict[str, Any]] = {}
    for case in (case for model in models for case in reference_of(model)):
        if not case["inherited"] or case["content_sha256"] not in cases:
            cases[case["content_sha256"]] = case
    return list(cases.values())


def card_of(models: Sequence[Model]) -> dict[str, Any]:
    """The card of a model made of several; weights and network are those of the first."""
    first = models[0].card
    unlike = {
        "version", "files", "metrics", "int8", "calibration", "source_checkpoint_sha256",
    }  # fmt: skip
    training = {
        f"{part}, {model.name}": words
        for model in models
        for part, words in model.card["training"].items()
    }
    return {name: value for name, value in first.items() if name not in unlike} | {
        "name": "-and-".join(dict.fromkeys(model.name for model in models)),
        "training": training,
        "limits": list(dict.fromkeys(limit for m in models for limit in m.card["limits"])),
        "attribution": list(dict.fromkeys(a for m in models for a in m.card["attribution"])),
    }
