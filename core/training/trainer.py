"""nnU-Net's trainer, with a checkpoint and a report after each epoch. Imports nnU-Net."""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, cast

import safetensors.torch
import torch
from loguru import logger

with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from core.errors import TrainingError
from core.predictor.checkpoint import weights_file
from core.training import augment
from core.training.batches import Batches, seed_all
from core.training.config import AUGMENTATIONS, TrainingConfig
from core.training.kept import FINAL, LATEST

_WORKERS = "nnUNet_n_proc_DA"
_AVERAGE = "hippoview_average"
_LARGEST_GRADIENT = 12  # nnU-Net's
# Between two drawings of the curves, each of which takes two seconds.
_DRAWN_EVERY_S = 60.0
OnEpoch = Callable[[str, dict[str, Any]], None]


class Trainer(nnUNetTrainer):  # type: ignore[misc]  # nnU-Net has no types
    """One training.

    After each epoch the checkpoint is written to a temporary file; ``on_epoch`` is called with its
    sha256 before it replaces the previous one, so that only recorded files are ever loaded, and
    ``keep`` with file and sha256 afterwards.

    On a CPU it computes in bfloat16 if the CPU supports it, in the memory layout that is fast
    there, and takes its batches from a thread. The result is a running average of the weights.
    """

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device,
    ) -> None:
        # nnU-Net reads the names of this signature to keep the arguments.
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.save_every = 1
        self.on_epoch: OnEpoch = lambda sha256, values: None
        self.on_step: Callable[[], None] = lambda: None
        self.keep: Callable[[Path, str], None] = lambda file, sha256: None
        self._average: dict[str, torch.Tensor] = {}
        self._steps = 0
        self._batches: Batches | None = None
        self._waited_s = 0.0
        self._draw_curves, self._drawn_s = self.logger.plot_progress_png, monotonic()
        self.logger.plot_progress_png = self._draw_now_and_then

    def configure(
        self, config: TrainingConfig, on_epoch: OnEpoch, on_step: Callable[[], None]
    ) -> None:
        """Set configuration and callbacks; to be called before `initialize`."""
        self.config = config
        self.num_epochs = config.epochs
        self.num_iterations_per_epoch = config.iterations
        self.num_val_iterations_per_epoch = config.validation_iterations
        self.initial_lr = config.learning_rate
        self.on_epoch, self.on_step = on_epoch, on_step
        self._dtype = _dtype(config.precision) if self.device.type == "cpu" else torch.float32
        seed_all(config.seed)

    def begin_from(self, weights: Path) -> None:
        """Start from the weights of another version with the same plans."""
        safetensors.torch.load_model(self._module, weights)

    def get_dataloaders(self) -> tuple[Any, Any]:
        """nnU-Net's batches; on a CPU made by a thread. See `core.training.batches`."""
        if self.device.type != "cpu":
            return cast(tuple[Any, Any], super().get_dataloaders())
        before = os.environ.get(_WORKERS, "1")
        os.environ[_WORKERS] = "0"  # nnU-Net then uses no processes
        training, validation = super().get_dataloaders()
        os.environ[_WORKERS] = before  # its planner, in the same process, needs at least one
        counts = self.num_iterations_per_epoch, self.num_val_iterations_per_epoch
        self._batches = Batches(training, validation, counts, self.config.seed, self.current_epoch)
        return self._batches, self._batches

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802
        """nnU-Net's choice; without mirroring neither the training nor the prediction mirrors."""
        *others, axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if not self.config.mirroring:
            axes = self.inference_allowed_mirroring_axes = ()
        return *others, axes

    def get_training_transforms(self, *arguments: Any, **options: Any) -> Any:
        """nnU-Net's augmentation, with `core.training.augment`'s if the configuration says so."""
        usual = augment.repeatable(nnUNetTrainer.get_training_transforms(*arguments, **options))
        share = AUGMENTATIONS[self.config.augmentation]
        return augment.with_scanners(usual, share) if share else usual

    def on_train_start(self) -> None:
        """Prepare; on a CPU in the memory layout that is fast there."""
        super().on_train_start()
        if self.device.type == "cpu":
            torch.set_flush_denormal(True)
            self.network.to(memory_format=torch.channels_last_3d)
        if not self._average:
            self._average = {name: w.clone() for name, w in self._weights().items()}

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One iteration."""
        self.on_step()
        if self.device.type == "cpu":
            done = self._step_on_cpu(batch)
        else:
            done = cast(dict[str, Any], super().train_step(batch))
        self._add_to_average()
        return done

    def _step_on_cpu(self, batch: dict[str, Any]) -> dict[str, Any]:
        data = batch["data"].contiguous(memory_format=torch.channels_last_3d)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            outputs = self.network(data)
        loss = self.loss([output.float() for output in outputs], batch["target"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self.optimizer.step()
        return {"loss": loss.detach().numpy()}

    @torch.no_grad()
    def _add_to_average(self) -> None:
        """Update the exponential average; shorter at first, to forget the initial weights."""
        self._steps += 1
        decay = min(self.config.average, self._steps / (9 + self._steps))
        weights = self._weights()
        torch._foreach_lerp_(
            [self._average[name] for name in weights], list(weights.values()), 1 - decay
        )

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One iteration of the validation."""
        self.on_step()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            return cast(dict[str, Any], super().validation_step(batch))

    def save_checkpoint(self, filename: str) -> None:
        """Write the latest or the final checkpoint atomically; nnU-Net's "best" is not used."""
        path = Path(filename)
        if path.name not in (LATEST, FINAL):
            return
        temporary = path.with_suffix(".new")
        super().save_checkpoint(str(temporary))
        checkpoint = torch.load(temporary, weights_only=False)  # this process has just written it
        checkpoint[_AVERAGE] = (self._average, self._steps)
        torch.save(checkpoint, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.on_epoch(sha256, self._values())
        temporary.replace(path)
        self.keep(path, sha256)

    def load_checkpoint(self, filename_or_checkpoint: Any) -> None:
        """Load a file that this class wrote."""
        super().load_checkpoint(filename_or_checkpoint)
        checkpoint = torch.load(
            filename_or_checkpoint, map_location=self.device, weights_only=False
        )
        self._average, self._steps = checkpoint[_AVERAGE]

    def on_epoch_end(self) -> None:
        """Log how much of the epoch was spent waiting for batches."""
        if self._batches is not None:
            waited_s = self._batches.waited_s - self._waited_s
            self._waited_s = self._batches.waited_s
            logger.info("Epoch {}: {:.2f} s of waiting for batches", self.current_epoch, waited_s)
        super().on_epoch_end()

    def _draw_now_and_then(self, folder: str) -> None:
        """Instead of after each epoch; the last time by `on_train_end`."""
        if monotonic() - self._drawn_s >= _DRAWN_EVERY_S:
            self._draw_curves(folder)
            self._drawn_s = monotonic()

    def on_train_end(self) -> None:
        """Finish; a training resumed after its last epoch has nothing to write."""
        if self._batches is not None:
            self._batches.close()
        if not (Path(self.output_folder) / FINAL).is_file():
            self._draw_curves(self.output_folder)
            super().on_train_end()

    def resume(self, checkpoints: set[str]) -> bool:
        """Continue from the last checkpoint, if there is one; returns whether there is.

        Parameters
        ----------
        checkpoints
            The sha256 of the checkpoints that this training wrote: ``torch.load`` can run code,
            so no other file is loaded.

        Raises
        ------
        TrainingError
            The checkpoint is not one of them.
        """
        folder = Path(self.output_folder)
        path = next((p for p in (folder / FINAL, folder / LATEST) if p.is_file()), None)
        if path is None:
            return False
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 not in checkpoints:
            raise TrainingError(
                "The checkpoint is not one that this training wrote",
                "Start a new training.",
                code="bad_checkpoint",
            )
        self.load_checkpoint(str(path))
        return True

    def weights(self) -> bytes:
        """The averaged weights as they are now, as the content of a safetensors file."""
        return weights_file(self._average)

    def _weights(self) -> dict[str, torch.Tensor]:
        """Every weight once; nnU-Net's modules refer to each other."""
        return {name: weight.detach() for name, weight in self._module.named_parameters()}

    @property
    def _module(self) -> torch.nn.Module:
        """The network itself, whether ``torch.compile`` wraps it or not."""
        return cast(torch.nn.Module, getattr(self.network, "_orig_mod", self.network))

    def _values(self) -> dict[str, Any]:
        def last(key: str) -> Any:
            return self.logger.get_value(key, step=-1)

        anterior, posterior = (float(d) for d in last("dice_per_class_or_region"))
        start, end = last("epoch_start_timestamps"), last("epoch_end_timestamps")
        return {
            "epoch": self.current_epoch,
            "train_loss": float(last("train_losses")),
            "val_loss": float(last("val_losses")),
            "dice_anterior": anterior,
            "dice_posterior": posterior,
            "seconds": float(end - start),
        }


def _dtype(precision: str) -> torch.dtype:
    """The type that a CPU computes in: bfloat16 if it has instructions for it."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    is_half = precision == "bfloat16" or (precision == "auto" and fast)
    return torch.bfloat16 if is_half else torch.float32
