"""Finds heads with the localiser alone, without a model that segments."""

from types import TracebackType

from core.image.volume import Volume
from core.models.folder import load_model
from core.predictor.engine import Engine, ScanRun
from core.predictor.localiser import Location, locate
from core.predictor.networks import backend_for, networks_of
from core.predictor.predictor import LOCALISER_DIR
from core.predictor.recipe import recipe_of


class HeadLocator:
    """Where heads lie; the network is loaded with the first one, and kept until the block ends."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def __enter__(self) -> "HeadLocator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._engine is not None:
            self._engine.close()

    def locate(self, volume: Volume) -> Location:
        """Where a head and its hippocampi lie, as inference has it.

        Raises
        ------
        InputError
            There is nothing in the image but background.
        DeviceError, ModelError
            The localiser cannot be loaded.
        """
        if self._engine is None:
            model = load_model(LOCALISER_DIR)
            recipe = recipe_of(model)
            network, _ = networks_of(
                model, recipe, backend_for("cpu", "auto"), "float32", 1, may_fall_back=True
            )
            self._engine = Engine(recipe, network, network, [()])
        return locate(volume, self._engine, ScanRun())
