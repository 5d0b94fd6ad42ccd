"""The part of nnU-Net's plans that a predictor needs, read and checked without nnU-Net."""

from dataclasses import dataclass
from typing import Any

from core.errors import ModelError
from core.models.folder import Model

_RESAMPLING = "resample_data_or_seg_to_shape"


@dataclass(frozen=True)
class Resampling:
    """How values change from one grid to another: spline orders in and between slices."""

    order: int
    order_z: int
    force_separate_z: bool | None


@dataclass(frozen=True, eq=False)
class Recipe:
    """One configuration of nnU-Net's plans.

    Attributes
    ----------
    patch : tuple of int, shape (3,)
        Size of the network's input in voxels, along its own axes.
    spacing_mm : tuple of float, shape (3,)
        Voxel size of the training, along the network's own axes.
    forward, backward : tuple of int, shape (3,)
        nnU-Net's transpositions from the reader's axes (z, y, x) to the network's and back.
    masks_background : bool
        Whether only what is not zero is normalised.
    image, logits : Resampling
    mirror_axes : tuple of int
        Axes along which mirrored predictions may be averaged.
    channels, classes : int
    architecture : dict
        ``network_class_name``, ``arch_kwargs`` and ``_kw_requires_import``.
    """

    patch: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    forward: tuple[int, int, int]
    backward: tuple[int, int, int]
    masks_background: bool
    image: Resampling
    logits: Resampling
    mirror_axes: tuple[int, ...]
    channels: int
    classes: int
    architecture: dict[str, Any]


def recipe_of(model: Model) -> Recipe:
    """Read a model's plans.

    Raises
    ------
    ModelError
        They ask for something that this predictor does not support.
    """
    try:
        plans, dataset = model.json("plans.json"), model.json("dataset.json")
        chosen = _inherited(plans["configurations"], model.configuration)
        _check(chosen, dataset)
        return Recipe(
            patch=_three(int, chosen["patch_size"]),
            spacing_mm=_three(float, chosen["spacing"]),
            forward=_three(int, plans["transpose_forward"]),
            backward=_three(int, plans["transpose_backward"]),
            masks_background=bool(chosen["use_mask_for_norm"][0]),
            image=Resampling(**_orders(chosen["resampling_fn_data_kwargs"])),
            logits=Resampling(**_orders(chosen["resampling_fn_probabilities_kwargs"])),
            mirror_axes=tuple(int(axis) for axis in model.card["mirror_axes"]),
            channels=len(dataset["channel_names"]),
            classes=len(dataset["labels"]),
            architecture=chosen["architecture"],
        )
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise ModelError(
            "The model's plans cannot be read", "Restore the model's folder."
        ) from error


def _inherited(configurations: dict[str, Any], name: str) -> dict[str, Any]:
    """A configuration, completed by the one that it inherits from."""
    configuration: dict[str, Any] = configurations[name]
    parent = configuration.get("inherits_from")
    return (_inherited(configurations, parent) if parent else {}) | configuration


def _check(chosen: dict[str, Any], dataset: dict[str, Any]) -> None:
    requirements = {
        "a preprocessor": (chosen["preprocessor_name"], "DefaultPreprocessor"),
        "a normalisation": (chosen["normalization_schemes"], ["ZScoreNormalization"]),
        "a resampling of images": (chosen["resampling_fn_data"], _RESAMPLING),
        "a resampling of logits": (chosen["resampling_fn_probabilities"], _RESAMPLING),
        "a number of axes": (len(chosen["patch_size"]), 3),
        "an earlier stage": (chosen.get("previous_stage"), None),
        "labels": (sorted(dataset["labels"].values()), list(range(len(dataset["labels"])))),
    }
    for what, (planned, supported) in requirements.items():
        if planned != supported:
            raise ModelError(f"The model's plans ask for {what} that is not known here: {planned}")


def _orders(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in ("order", "order_z", "force_separate_z")}


def _three(kind: type, values: Any) -> Any:
    first, second, third = (kind(value) for value in values)
    return first, second, third
