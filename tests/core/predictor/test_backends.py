import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import safetensors.numpy
import torch
from dynamic_network_architectures.architectures.unet import (
    PlainConvUNet,
    ResidualEncoderUNet,
)

from core.errors import DeviceError, ModelError
from core.image import volume
from core.image.intake import vetted
from core.models.folder import Model, load_model, opened, sha256_of
from core.predictor.calibrate import (
    LARGEST_DICE_LOSS,
    SMALLEST_AGREEMENT,
    SMALLEST_AGREEMENT_OF_A_CASE,
    Labelled,
    proof,
    ranges_file,
)
from core.predictor.calibrate import main as calibrate
from core.predictor.checkpoint import weights_file
from core.predictor.engine import ScanRun
from core.predictor.networks import backend_for
from core.predictor.openvino_network import OpenVINONetwork
from core.predictor.predictor import InferenceOptions, loaded
from core.predictor.recipe import recipe_of
from core.predictor.service import Predictors
from core.predictor.torch_network import TorchNetwork
from core.settings import ROOT, Settings
from tests.scans import as_bytes, example, stream

EMBEDDED = load_model(Settings().model_dir)
SHAPE = (16, 24, 8)
ARGUMENTS = EMBEDDED.json("plans.json")["configurations"]["3d_cpu"]["architecture"]["arch_kwargs"]
VARIANTS = {
    "two stages": {"n_stages": 2, "features_per_stage": [4, 8], "strides": [[1] * 3, [2] * 3],
                   "kernel_sizes": [[3] * 3] * 2, "n_conv_per_stage": [2, 2],
                   "n_conv_per_stage_decoder": [2]},
    "thick slices": {"n_stages": 3, "features_per_stage": [4, 6, 8],
                     "strides": [[1] * 3, [2, 2, 1], [2, 2, 2]],
                     "kernel_sizes": [[3, 3, 1], [3, 3, 1], [3, 3, 3]],
                     "n_conv_per_stage": [1, 3, 2], "n_conv_per_stage_decoder": [3, 1]},
}  # fmt: skip


def made(folder: Path, kind=PlainConvUNet, seeds=(0,), **changes) -> Model:
    """A model folder with networks of random weights, as a training would have left it."""
    folder.mkdir()
    for name in ("plans.json", "dataset.json"):
        shutil.copy(EMBEDDED.folder / name, folder)
    plans = json.loads((folder / "plans.json").read_text())
    arguments = {**ARGUMENTS, **changes}
    name = f"{kind.__module__}.{kind.__name__}"
    if kind is ResidualEncoderUNet:
        arguments["n_blocks_per_stage"] = arguments.pop("n_conv_per_stage")
    chosen = plans["configurations"]["3d_cpu"]
    chosen["architecture"]["arch_kwargs"] = arguments
    chosen["architecture"]["network_class_name"] = name
    chosen["patch_size"] = SHAPE
    (folder / "plans.json").write_text(json.dumps(plans))
    real = dict(arguments)
    for key in chosen["architecture"]["_kw_requires_import"]:
        real[key] = {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d,
                     "nonlin": torch.nn.LeakyReLU, "dropout_op": None}[key]  # fmt: skip
    names = []
    for seed in seeds:
        torch.manual_seed(seed)
        network = kind(input_channels=1, num_classes=3, deep_supervision=True, **real)
        with torch.no_grad():  # affine parts of the norms that are not 1 and 0
            for parameter in network.parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.2)
        names.append(f"weights-{seed}.safetensors")
        (folder / names[-1]).write_bytes(weights_file(network.state_dict()))
    card = {**EMBEDDED.card, "weights": names if len(names) > 1 else names[0], "files": {}}
    card.pop("int8", None)
    card["files"] = {p.name: _sha256(p) for p in sorted(folder.iterdir())}
    (folder / "card.json").write_text(json.dumps(card))
    return load_model(folder)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def noise(count=2) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (count, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_openvino_builds_the_network_that_pytorch_runs(name, tmp_path):
    model = made(tmp_path / "model", **VARIANTS[name])
    recipe = recipe_of(model)
    with_torch = TorchNetwork(recipe, model.weights[0], "cpu").logits(noise())
    with_openvino = OpenVINONetwork(recipe, model.weights[0], "float32").logits(noise())
    assert with_torch.shape == (2, 3, *SHAPE)
    assert with_torch.std() > 0.01
    np.testing.assert_allclose(with_openvino, with_torch, atol=1e-4)


def test_the_embedded_model_gives_the_same_logits_on_both(tmp_path):
    recipe = recipe_of(EMBEDDED)
    patch = np.random.default_rng(0).normal(0, 1, (1, *recipe.patch)).astype(np.float32)
    with_torch = TorchNetwork(recipe, EMBEDDED.weights[0], "cpu").logits(patch)
    with_openvino = OpenVINONetwork(recipe, EMBEDDED.weights[0], "float32").logits(patch)
    np.testing.assert_allclose(with_openvino, with_torch, atol=2e-3)


def test_a_network_that_openvino_does_not_know_is_run_by_pytorch_and_that_is_said(tmp_path):
    model = made(tmp_path / "model", ResidualEncoderUNet, **VARIANTS["two stages"])
    predictor = loaded(model, InferenceOptions(device="cpu"))
    assert predictor.network.backend == "torch-cpu"
    assert "ResidualEncoderUNet" in predictor.remark
    assert predictor.as_dict()["remark"] == predictor.remark
    assert predictor.network.logits(noise()).shape == (2, 3, *SHAPE)
    predictor.close()
    with pytest.raises(ModelError, match="ResidualEncoderUNet"):
        loaded(model, InferenceOptions(backend="openvino"))


def test_a_backend_can_be_forced():
    predictor = loaded(EMBEDDED, InferenceOptions(backend="torch-cpu"))
    assert (predictor.network.backend, predictor.network.device) == ("torch-cpu", "cpu")
    predictor.close()


@pytest.mark.parametrize(
    ("device", "backend", "expected"),
    [("cpu", "auto", "openvino"), ("cpu", "torch-cpu", "torch-cpu"), ("cuda", "auto", "cuda"),
     ("cpu", "cuda", "openvino"), ("auto", "cuda", "cuda"), ("auto", "openvino", "openvino")],
)  # fmt: skip
def test_which_backend_computes(device, backend, expected):
    assert backend_for(device, backend) == expected


def labelled(folder: Path, precision: str) -> list[Labelled]:
    """The example with the mask of the embedded model."""
    with vetted(stream(as_bytes(example())), folder) as file:
        made = volume.load(file)
    predictor = loaded(EMBEDDED, InferenceOptions(device="cpu", precision=precision))
    truth = predictor.segment(made).labels
    predictor.close()
    return [Labelled(made, truth)]


def test_int8_is_the_default_where_the_card_proves_it_and_agrees_with_float32(tmp_path):
    shown = EMBEDDED.card["int8"]
    assert min(shown["dice_change"].values()) >= -LARGEST_DICE_LOSS
    for of_label in shown["foreground"].values():
        assert of_label["dice"] >= SMALLEST_AGREEMENT
        assert of_label["worst"] >= SMALLEST_AGREEMENT_OF_A_CASE
    [case] = labelled(tmp_path, "float32")
    predictor = loaded(EMBEDDED, InferenceOptions(device="cpu"))
    assert predictor.network.precision == "int8"
    mask = predictor.segment(case.scan).labels
    assert (mask == case.truth).mean() >= SMALLEST_AGREEMENT
    assert (mask != case.truth).any()  # it does compute in another way
    predictor.close()
    without = made(tmp_path / "model", **VARIANTS["two stages"])
    asked = loaded(without, InferenceOptions(device="cpu", precision="int8"))
    assert asked.network.precision == "float32"
    assert asked.remark
    asked.close()


def with_ranges(folder: Path, ranges: dict, ruined: float = 1.0) -> Model:
    """The embedded model with other ranges, narrowed by a factor."""
    shutil.copytree(EMBEDDED.folder, folder, dirs_exist_ok=True)
    networks = [
        {name: [low * ruined, high * ruined] for name, (low, high) in network.items()}
        for network in ranges["networks"]
    ]
    (folder / "int8.json").write_text(json.dumps({"networks": networks}))
    card = {**EMBEDDED.card, "files": {**EMBEDDED.card["files"]}}
    card["files"]["int8.json"] = _sha256(folder / "int8.json")
    (folder / "card.json").write_text(json.dumps(card))
    return load_model(folder)


def test_int8_is_calibrated_from_scans_and_kept_only_if_it_costs_nothing(tmp_path):
    cases = labelled(tmp_path, "int8")
    ranges = json.loads(ranges_file(EMBEDDED, [case.scan for case in cases]))
    for ruined, expected in ((1.0, True), (0.02, False)):
        model = with_ranges(tmp_path / "model", ranges, ruined)
        assert (proof(model, cases, seen=True) is not None) == expected


def test_the_proof_of_int8_is_asked_of_the_foreground(tmp_path):
    """Background agrees whatever the network does to the hippocampus."""
    [case] = labelled(tmp_path, "float32")
    own = json.loads((EMBEDDED.folder / "int8.json").read_bytes())
    model = with_ranges(tmp_path / "model", own, 0.3)
    asked = loaded(model, InferenceOptions(device="cpu", precision="int8"))
    mask = asked.segment(case.scan).labels
    asked.close()
    assert (mask == case.truth).mean() >= SMALLEST_AGREEMENT  # of all voxels: the older rule
    # An expert who drew nothing: no Dice against him can fall.
    nothing = Labelled(case.scan, np.zeros_like(case.truth))
    assert proof(model, [nothing], seen=True) is None
    assert proof(EMBEDDED, [nothing], seen=True) is not None


def test_a_proof_made_anew_changes_the_card_only_and_a_failed_one_takes_int8_away(
    tmp_path,
):
    scan = example()
    [case] = labelled(tmp_path, "int8")
    truth = volume.from_ras(case.truth, case.scan.header)
    for part, data in (("imagesTs", np.asarray(scan.dataobj)), ("labelsTs", truth)):
        (tmp_path / "data" / part).mkdir(parents=True)
        name = "a_0000.nii.gz" if part == "imagesTs" else "a.nii.gz"
        nib.save(nib.Nifti1Image(data, scan.affine), tmp_path / "data" / part / name)
    own = json.loads((EMBEDDED.folder / "int8.json").read_bytes())
    for ruined, status in ((1.0, 0), (0.02, 1)):
        folder = tmp_path / f"model-{ruined}"
        with_ranges(folder, own, ruined)
        before = {p.name: p.read_bytes() for p in folder.iterdir()}
        assert calibrate([str(folder), str(tmp_path / "data"), "--proof-only"]) == status
        card = load_model(folder).card
        assert ("int8" in card) == (status == 0)
        after = {p.name: p.read_bytes() for p in folder.iterdir()}
        changed = {name for name in before if before[name] != after.get(name)}
        assert changed == ({"card.json"} if status == 0 else {"card.json", "int8.json"})
    (folder / "int8.json").write_text("somebody's")
    assert calibrate([str(folder), str(tmp_path / "data")]) == 2
    assert (folder / "int8.json").read_text() == "somebody's"


def test_a_precision_that_the_cpu_lacks_is_not_claimed():
    import openvino as ov

    can = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    predictor = loaded(EMBEDDED, InferenceOptions(device="cpu", precision="bfloat16"))
    assert predictor.network.precision == ("bfloat16" if can else "float32")
    assert bool(predictor.remark) != can
    predictor.close()


def test_a_gpu_that_is_not_there_is_said():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError):
        Predictors(partial(opened, EMBEDDED.folder), InferenceOptions(), 1).on("cuda")
    with pytest.raises(DeviceError):
        loaded(EMBEDDED, InferenceOptions(backend="cuda"))


def test_folds_are_averaged_as_by_nnunet(tmp_path):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    model = made(tmp_path / "model", seeds=(1, 2, 3), **VARIANTS["two stages"])
    assert len(model.weights) == 3
    assert model.sha256 == sha256_of(model.card)
    assert model.sha256 not in model.card["files"].values()
    recipe = recipe_of(model)
    oracle = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    plans = PlansManager(model.json("plans.json"))
    members = [TorchNetwork(recipe, path, "cpu") for path in model.weights]
    states = [{k: v.clone() for k, v in m._network.state_dict().items()} for m in members]
    oracle.manual_initialization(
        members[0]._network, plans, plans.get_configuration("3d_cpu"), states,
        model.json("dataset.json"), "nnUNetTrainer", (0, 1, 2),
    )  # fmt: skip
    scan = np.random.default_rng(1).random((20, 30, 12)).astype(np.float32)
    theirs = oracle.predict_single_npy_array(
        np.ascontiguousarray(scan.transpose(2, 1, 0)[None]), {"spacing": [1.0, 1.0, 1.0]}
    ).transpose(2, 1, 0)
    predictor = loaded(model, InferenceOptions(device="cpu", mirroring="full"))
    mine = predictor.engine.labels(scan, (1.0, 1.0, 1.0), ScanRun())
    single = loaded(
        made(tmp_path / "one", seeds=(1,), **VARIANTS["two stages"]), InferenceOptions(device="cpu")
    )
    assert len(np.unique(theirs)) > 1
    assert (mine != theirs).mean() < 0.005  # noise everywhere: many voxels are undecided
    assert (single.engine.labels(scan, (1.0, 1.0, 1.0), ScanRun()) != theirs).mean() > 0.05
    predictor.close()
    single.close()


@pytest.mark.parametrize(
    "change",
    [{"preprocessor_name": "Other"}, {"normalization_schemes": ["CTNormalization"]},
     {"patch_size": [40, 56]}, {"previous_stage": "3d_lowres"}, {"resampling_fn_data": "torch"}],
)  # fmt: skip
def test_plans_that_ask_for_something_else_are_refused_in_words(change, tmp_path):
    model = made(tmp_path / "model", **VARIANTS["two stages"])
    plans = model.json("plans.json")
    plans["configurations"]["3d_cpu"].update(change)
    (model.folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match="not known here"):
        recipe_of(model)


def test_weights_of_another_network_are_refused_in_words(tmp_path):
    model = made(tmp_path / "model", **VARIANTS["two stages"])
    recipe = recipe_of(model)
    empty = tmp_path / "empty.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(3, np.float32)}, empty)
    for network in (OpenVINONetwork, TorchNetwork):
        with pytest.raises(ModelError, match="do not fit"):
            network(recipe, empty, "float32" if network is OpenVINONetwork else "cpu")


LISTENER = """
import sys
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print(event, args)
sys.addaudithook(hook)
from core.models.folder import load_model
from core.predictor.predictor import InferenceOptions, loaded
from core.settings import Settings
predictor = loaded(load_model(Settings().model_dir), InferenceOptions(device="cpu"))
predictor.warm_up()
predictor.close()
import openvino
heavy = ("torch", "nnunetv2", "openvino_telemetry", "scipy.stats")
print([m for m in heavy if m in sys.modules])
"""


def test_serving_imports_nothing_heavy_and_sends_nothing_anywhere():
    """``import openvino`` alone would tell Google Analytics."""
    done = subprocess.run(
        [sys.executable, "-c", LISTENER], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.stdout == "[]\n"
