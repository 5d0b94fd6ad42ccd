"""The configuration of a training, by Hydra: presets as files, checked against a schema."""

import importlib.util
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.cpus import limit_threads, usable_cpus
from core.errors import TrainingError

PRESETS = {
    "quick": "Fine-tunes the version in service. A few minutes on two cores.",
    "cpu": "A small network from nothing. Two hours on two cores.",
    "full": "nnU-Net's own network and schedule from nothing. Needs a GPU.",
}
# Factor of the full probabilities of the transforms that `core.training.augment` adds to nnU-Net's.
AUGMENTATIONS = {"usual": 0.0, "mixed": 0.5, "strong": 1.0}
# Seconds of one iteration of the small network on two idle cores: the estimate until this machine
# has finished an epoch.
FIRST_ITERATION_S = 0.3
# A validation iteration has no backward pass.
_VALIDATION_SHARE = 0.35
# Planning, starting, registering and timing; evaluating a test case with two versions; and making a
# head and evaluating it with two versions.
_START_S = 60.0
_PER_TEST_CASE_S = 3.0
_PER_HEAD_S = 7.0
# Hydra's marker for a value that a preset must give (importing Hydra takes half a second).
_MISSING: Any = "???"
# Upper limits of nnU-Net's processes: for augmentation beside a GPU, and for reading and writing.
_WORKERS, _READERS = 12, 8
_PACKAGES = ("torch", "nnunetv2", "hydra")
_FOLDER = Path(__file__).parent / "conf"
# Hydra keeps its state in a global: one composition at a time.
_LOCK = threading.Lock()


@dataclass
class TrainingConfig:
    """The configuration of a training. Every field can be set by ``name=value``.

    Attributes
    ----------
    start : str
        ``serving`` fine-tunes the version in service, ``scratch`` starts from random weights.
    configuration : str
        ``same`` as the version it starts from, or one of nnU-Net's configurations: ``3d_cpu``
        (a small 3-D network) or ``3d_fullres``.
    features, batch : int
        Of ``3d_cpu``: features of its first stage, each further stage has twice as many; and
        crops in a batch.
    residual : bool
        Of ``3d_cpu``: nnU-Net's residual encoder instead of its plain one.
    mirroring : bool
        Whether crops are mirrored, in the training and in the prediction.
    augmentation : str
        ``usual`` is nnU-Net's; ``strong`` adds a bias field, thick slices, 2 mm voxels, other
        contrasts and noise; ``mixed`` adds them half as often.
    average : float
        Decay per iteration of the weights' running average, which becomes the model; with 0 the
        last weights are used.
    precision : str
        On a CPU: ``auto`` takes bfloat16 where the CPU has instructions for it; or ``float32``.
    fold : int
        Which of the five folds is held out for the pseudo-Dice; -1 trains on all of them.
    with_test : bool
        Train on the frozen test set as well. With fold -1, for a final model: it cannot be tested
        on this data any more. With another fold, the folds are nnU-Net's own five of all cases:
        their cross-validation estimates how good such a final model is.
    epochs, iterations, validation_iterations : int
        Iterations are per epoch.
    learning_rate : float
        At the start; it falls to zero by nnU-Net's polynomial.
    seed : int
    needs_gpu : bool
    """

    start: str = _MISSING
    configuration: str = _MISSING
    epochs: int = _MISSING
    iterations: int = _MISSING
    validation_iterations: int = _MISSING
    learning_rate: float = _MISSING
    features: int = 16
    batch: int = 2
    residual: bool = False
    mirroring: bool = True
    augmentation: str = "mixed"
    average: float = 0.999
    precision: str = "auto"
    fold: int = 0
    with_test: bool = False
    seed: int = 0
    needs_gpu: bool = False


@dataclass(frozen=True)
class TrainingRequest:
    """A request for a training, from a page or the command line; stored with the job.

    Attributes
    ----------
    dataset : str
        Name of a prepared data set.
    preset : str
        One of `PRESETS`.
    overrides : list of str
        Hydra's ``name=value``, such as ``epochs=2``.
    """

    dataset: str
    preset: str = "quick"
    overrides: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the job's row."""
        return asdict(self)

    def config(self) -> TrainingConfig:
        """The complete configuration: the preset with the overrides.

        Raises
        ------
        TrainingError
            A name or a value is not known.
        """
        check_installed()
        if self.preset not in PRESETS:
            raise TrainingError(
                f"There is no preset {self.preset!r}",
                f"Choose one of: {', '.join(PRESETS)}.",
                code="bad_training_config",
            )
        from hydra import compose, initialize_config_dir
        from hydra.core.config_store import ConfigStore
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        ConfigStore.instance().store("schema", TrainingConfig)
        try:
            with _LOCK, initialize_config_dir(str(_FOLDER), version_base="1.3"):
                composed = compose("config", [f"preset={self.preset}", *self.overrides])
            config = OmegaConf.to_object(composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise TrainingError(
                f"The training's configuration is not understood: {str(error).splitlines()[0]}",
                "Correct the name=value pairs.",
                code="bad_training_config",
            ) from error
        if not isinstance(config, TrainingConfig):
            raise TypeError(f"composed {type(config)}")
        return _checked(config)


def check_installed() -> None:
    """Raise a `TrainingError` if packages that training needs are not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"This installation can serve but not train: {', '.join(missing)} not installed",
            "Run make install in HippoView's folder (about 7 GB with CUDA), then start it again.",
            code="serving_only",
        )


def share_cores() -> None:
    """Use no more CPUs than this process may. Call it before PyTorch is imported.

    Waiting threads sleep instead of spinning: spinning kept the cores from other programs, and two
    trainings at once took six times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    limit_threads()
    cpus = usable_cpus()
    # nnU-Net's defaults are the host's number of CPUs, or a dozen.
    os.environ.setdefault("nnUNet_n_proc_DA", str(max(1, min(_WORKERS, cpus - 1))))
    os.environ["nnUNet_def_n_proc"] = str(min(_READERS, cpus))


def estimate_s(
    config: TrainingConfig,
    test_cases: int,
    iteration_s: float = FIRST_ITERATION_S,
    test_heads: int = 0,
) -> float:
    """Estimated duration of a training on this machine, in seconds.

    Parameters
    ----------
    test_cases, test_heads
        How many crops and whole heads the version is tested on.
    """
    steps = config.iterations + _VALIDATION_SHARE * config.validation_iterations
    tests_s = _PER_TEST_CASE_S * test_cases + _PER_HEAD_S * test_heads
    return _START_S + config.epochs * steps * iteration_s + tests_s


def iteration_s(config: TrainingConfig, epoch_s: float) -> float:
    """Seconds of one iteration, from those of a whole epoch."""
    return epoch_s / (config.iterations + _VALIDATION_SHARE * config.validation_iterations)


def _checked(config: TrainingConfig) -> TrainingConfig:
    problems = {
        "start": config.start in ("serving", "scratch"),
        "configuration": config.configuration in ("same", "3d_cpu", "3d_fullres"),
        "epochs": 1 <= config.epochs <= 10_000,
        "iterations": 1 <= config.iterations <= 10_000,
        "validation_iterations": 1 <= config.validation_iterations <= 10_000,
        "learning_rate": 0 < config.learning_rate <= 1,
        "features": 4 <= config.features <= 64,
        "batch": 1 <= config.batch <= 64,
        "augmentation": config.augmentation in AUGMENTATIONS,
        "average": 0 <= config.average < 1,
        "precision": config.precision in ("auto", "float32", "bfloat16"),
        "fold": -1 <= config.fold <= 4,
    }
    for name, fits in problems.items():
        if not fits:
            raise TrainingError(
                f"{name} is {getattr(config, name)!r}",
                "See core/training/config.py for the values that it takes.",
                code="bad_training_config",
            )
    if config.configuration == "same" and config.start == "scratch":
        raise TrainingError(
            "A training from nothing needs a configuration of its own",
            "Write configuration=3d_cpu or configuration=3d_fullres.",
            code="bad_training_config",
        )
    if config.configuration != "same" and config.start == "serving":
        raise TrainingError(
            "Fine-tuning keeps the configuration of the version that it starts from",
            "Write configuration=same, or start=scratch.",
            code="bad_training_config",
        )
    return config
