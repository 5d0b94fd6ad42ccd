"""Model versions of a few bytes, and predictors that only know which one they are."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.models.folder import Model
from core.models.registry import Registry, Version
from core.models.service_log import ServiceLog
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors
from core.state.database import DATABASE_NAME, connect
from core.state.storage import LocalStorage

_CARD = {
    "name": "tiny", "configuration": "3d", "labels": {"anterior": 1, "posterior": 2},
    "weights": "weights.safetensors", "metrics": {},
}  # fmt: skip


def embedded(folder: Path) -> Path:
    """A model folder, as the one that comes with the program."""
    content = b"the first"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(content)
    files = {"weights.safetensors": hashlib.sha256(content).hexdigest()}
    (folder / "card.json").write_text(json.dumps(_CARD | {"version": "new", "files": files}))
    return folder


def tiny_registry(folder: Path, storage: Any = None) -> Registry:
    """The registry of a data folder, not yet prepared; its model is beside it."""
    model = embedded(folder.parent / "embedded")
    return Registry(connect(folder), storage or LocalStorage(folder / "storage"), model)


def add(
    registry: Registry,
    tag: str,
    more: Mapping[str, bytes] | None = None,
    check_still_ours: Callable[[], None] | None = None,
    **lineage: Any,
) -> Version:
    """Register a candidate that differs from all with another tag; ``more`` are further files."""
    files = {"weights.safetensors": tag.encode(), "plans.json": b"{}", **(more or {})}
    return registry.add(_CARD, files, {}, {"tag": tag, **lineage}, check_still_ours)


def lose_database(folder: Path) -> None:
    """What happens to the disk of Cloud Run."""
    for path in folder.glob(f"{DATABASE_NAME}*"):
        path.unlink()


@dataclass(frozen=True)
class _Known:
    """In the place of a predictor: which version it would compute with."""

    model: Model

    def close(self) -> None:
        """Nothing to end."""


class TinyPredictors(Predictors):
    """What a process serves with; the networks are left out, all else is the real one."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(
            registry.open_serving, InferenceOptions(backend="torch-cpu", device="cpu"), 1
        )

    def _make(self, open_model: AbstractContextManager[Model], backend: str) -> _Known:
        with open_model() as model:
            return _Known(model)


@dataclass(frozen=True)
class Truth:
    """What storage, database and process say."""

    stored: list[int]
    database: list[int]
    served: str

    @property
    def agrees(self) -> bool:
        return self.stored == self.database and self.served == str(self.stored[-1])


def truth_of(registry: Registry, predictors: Predictors, storage: Any) -> Truth:
    """What the three say serves and has served, the newest last."""
    _, history = ServiceLog(storage).read()
    known = [entry.number for entry in registry.history()][::-1]
    served = predictors.serving.model.version if predictors.serving else ""
    return Truth([entry.number for entry in history], known, served)


def copied(source: Path, target: Path) -> Path:
    """A data folder once more."""
    shutil.copytree(source, target)
    return target
