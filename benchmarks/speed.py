"""One scan, by HippoView and by every other way to run the same network on the same machine.

``python -m benchmarks.speed FOLDER [ROUNDS]``, with a folder of scans of which twenty are taken,
ten a round. (a) is ``nnUNetv2_predict`` as a process for each scan (one scan a round), (b) the
stock ``nnUNetPredictor`` kept in memory, (c) ONNX Runtime under our own preprocessing (left out
where ``onnxruntime``, ``onnx`` and ``onnxscript`` are not installed).
"""

import contextlib
import importlib.util
import io
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rounds import alternate, table, write
from core.models.folder import load_model
from core.pipeline import analyse
from core.predictor.checkpoint import CHECKPOINT_NAME, write_for_nnunet
from core.predictor.engine import Engine
from core.predictor.predictor import InferenceOptions, Predictor, loaded
from core.predictor.recipe import recipe_of
from core.predictor.torch_network import TorchNetwork
from core.predictor.window import mirrors_of
from core.settings import Settings
from tests.server import running

with contextlib.redirect_stdout(io.StringIO()):
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

_CASES = 20
MODEL = load_model(Settings().model_dir)


class OnnxNetwork:
    """The same network in ONNX Runtime."""

    backend, device, precision, batch = "onnx", "cpu", "float32", 1

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        recipe = recipe_of(MODEL)
        network = TorchNetwork(recipe, MODEL.weights[0], "cpu")._network
        path = folder / "network.onnx"
        with contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(network, (torch.zeros(1, 1, *recipe.patch),), path, dynamo=False,
                              input_names=["image"], output_names=["logits"])  # fmt: skip
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `core.predictor.networks.Network`."""
        found: NDArray[np.float32] = self._session.run(None, {"image": patches[:, None]})[0]
        return found


Halves = Iterator[list[Path]]


def halves(paths: list[Path]) -> Halves:
    """One half of the scans and the other, again and again: a round takes one."""
    return itertools.cycle([paths[::2], paths[1::2]])


def ours(parts: Halves, predictor: Predictor, scratch: Path) -> int:
    """In process, from file to mask and measures."""
    paths = next(parts)
    for path in paths:
        with path.open("rb") as file:
            analyse(file, predictor, scratch)
    return len(paths)


def over_http(parts: Halves, client: httpx.Client) -> int:
    """Over the API."""
    paths = next(parts)
    for path in paths:
        client.post("/predict", files={"image": path.read_bytes()}).raise_for_status()
    return len(paths)


def stock(parts: Halves, predictor: Any, mirroring: bool) -> int:
    """(b)"""
    paths = next(parts)
    predictor.use_mirroring = mirroring
    reader = SimpleITKIO()
    for path in paths:
        data, properties = reader.read_images([str(path)])
        predictor.predict_single_npy_array(data, properties)
    return len(paths)


def process(path: Path, checkpoint: Path, mirroring: bool) -> int:
    """(a)"""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        (Path(folder) / "in" / "scan_0000.nii.gz").symlink_to(path.resolve())
        command = Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder"
        subprocess.run(
            [command, "-i", f"{folder}/in", "-o", f"{folder}/out", "-m", checkpoint, "-f", "0",
             "-device", "cpu", "-npp", "1", "-nps", "1", *["--disable_tta"] * (not mirroring)],
            check=True, capture_output=True,
        )  # fmt: skip
    return 1


@contextlib.contextmanager
def served(folder: Path, mirroring: str, precision: str) -> Iterator[httpx.Client]:
    """A client of a server of its own."""
    with (
        running(folder, mirroring=mirroring, precision=precision) as server,
        httpx.Client(base_url=f"{server.url}/api", timeout=120) as client,
    ):
        yield client


def main() -> None:
    """Print the tables."""
    folder = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    paths = sorted(folder.glob("[!.]*.nii.gz"))
    paths = paths[:: max(1, len(paths) // _CASES)][:_CASES]
    with tempfile.TemporaryDirectory() as name:
        checkpoint = Path(name)
        write_for_nnunet(MODEL, checkpoint)
        oracle = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        oracle.initialize_from_trained_model_folder(str(checkpoint), (0,), CHECKPOINT_NAME)
        _measure(paths, checkpoint, oracle, rounds)


def _measure(paths: list[Path], checkpoint: Path, oracle: nnUNetPredictor, rounds: int) -> None:
    figures = {}
    for mirroring, mode in ((True, "full"), (False, "off")):
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            scratch = Path(name)
            sides: dict[str, Callable[[], int]] = {
                "(a) nnUNetv2_predict, a process": partial(
                    process, paths[0], checkpoint, mirroring
                ),
                "(b) nnUNetPredictor in memory": partial(stock, halves(paths), oracle, mirroring),
            }
            if importlib.util.find_spec("onnxruntime"):
                recipe, network = recipe_of(MODEL), OnnxNetwork(scratch)
                engine = Engine(recipe, network, network, mirrors_of(recipe.mirror_axes, mode))
                onnx = Predictor(MODEL, engine, mode, 1)
                sides["(c) ONNX Runtime"] = partial(ours, halves(paths), onnx, scratch)
            for precision in ("float32", "int8"):
                predictor = loaded(
                    MODEL, InferenceOptions(device="cpu", precision=precision, mirroring=mode)
                )
                predictor.warm_up()
                sides[f"HippoView, {precision}, in process"] = partial(
                    ours, halves(paths), predictor, scratch
                )
                client = stack.enter_context(served(scratch / precision, mode, precision))
                sides[f"HippoView, {precision}, over HTTP"] = partial(
                    over_http, halves(paths), client
                )
            title = f"{'With' if mirroring else 'Without'} mirroring, one scan of {len(paths)}"
            times = alternate(sides, rounds)
            figures[mode] = {
                "against_b": table(title, times, "(b) nnUNetPredictor in memory"),
                "against_a": table(title, times, "(a) nnUNetv2_predict, a process"),
            }
    write("speed", figures)


if __name__ == "__main__":
    main()
