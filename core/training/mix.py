"""Mixes the weights of two networks of one origin into one network, as fast as either."""

from typing import Any

import safetensors.torch

from core.errors import ModelError
from core.models.folder import Model
from core.models.registry import REFERENCE_NAME, reference_of
from core.predictor.checkpoint import weights_file
from core.training.join import card_of, kind_of
from core.training.package import PackagedModel
from core.training.reference import reference_file

_WEIGHTS = "weights.safetensors"


def mix(first: Model, second: Model, share: float) -> PackagedModel:
    """Package the weighted mean of two models' weights as one version, without int8.

    Weights can be averaged where one network was trained on from the other: then the mean of the
    weights is as good as the mean of the predictions and costs half the time (Wortsman et al.,
    Robust fine-tuning of zero-shot models, CVPR 2022).

    Parameters
    ----------
    first, second
        Of one network each.
    share
        Of the second model in each weight, between 0 and 1.

    Raises
    ------
    ModelError
        They are not of the same kind, one is of several networks, or there is no such share.
    """
    if not 0 < share < 1:
        raise ModelError(f"{share:g} is not a share", "Give one between 0 and 1, such as 0.4.")
    if len(first.weights) != 1 or len(second.weights) != 1 or kind_of(first) != kind_of(second):
        raise ModelError(
            f"{first.name} and {second.name} are not single networks of the same kind",
            "Mix two models of which one was trained on from the other.",
        )
    weights = [safetensors.torch.load_file(model.weights[0]) for model in (first, second)]
    if weights[0].keys() != weights[1].keys():
        raise ModelError(
            f"The weights of {first.name} and {second.name} have other names",
            "Mix two models of which one was trained on from the other.",
        )
    mean = {name: values.lerp(weights[1][name], share) for name, values in weights[0].items()}
    reference = _reference(first, second)
    parts = {
        _WEIGHTS: weights_file(mean),
        "plans.json": (first.folder / "plans.json").read_bytes(),
        "dataset.json": (first.folder / "dataset.json").read_bytes(),
        REFERENCE_NAME: reference_file(reference),
    }
    card = card_of([first, second]) | {"weights": _WEIGHTS}
    card["training"]["Weights"] = (
        f"{1 - share:g} of {first.name} and {share:g} of {second.name}, weight by weight"
    )
    return PackagedModel(card, parts, {case["content_sha256"] for case in reference})


def _reference(first: Model, second: Model) -> list[dict[str, Any]]:
    """The training cases of both; drift is compared with those of the first alone.

    What the second was trained on besides may be of another kind, such as crops of heads.
    """
    own = reference_of(first)
    known = {case["content_sha256"] for case in own}
    others = [c for c in reference_of(second) if c["content_sha256"] not in known]
    return own + [case | {"features": None} for case in others]
