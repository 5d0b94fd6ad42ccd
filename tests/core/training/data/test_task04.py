"""The Decathlon's Task04: cases 2k-1 and 2k are the two sides of one person."""

import json
from dataclasses import replace
from itertools import pairwise

import nibabel as nib
import numpy as np
import pytest

from core.__main__ import main
from core.errors import InputError
from core.state.storage import LocalStorage
from core.training.config import TrainingRequest
from core.training.data.dataset import FOLDS, Dataset, Datasets, Entry, file_names, split_file
from core.training.data.patients import DECATHLON, NAMES_ONLY, rule_of
from core.training.data.prepare import prepare
from core.training.data.split import split
from core.training.origin import folds, trained_on
from tests.datasets import made, real

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_RANDOM_PAIRS = 3000


def number_of(name):
    return int(name.removeprefix("hippocampus_"))


def entries(names):
    return {n: Entry("", f"content {n}", f"image {n}", f"label {n}", 0) for n in names}


@pytest.fixture(scope="module")
def names(task04):
    return [path.name.removesuffix(".nii.gz") for path in task04]


def test_the_intensities_say_who_belongs_together(task04, names):
    """Mean absolute difference of the logarithms of seven percentiles of two scans."""
    logs = {}
    for name, path in zip(names, task04, strict=True):
        values = np.percentile(np.asarray(nib.load(path).dataobj, float), _PERCENTILES)
        logs[number_of(name)] = np.log(np.maximum(values, 1))

    def differences(pairs):
        return np.array([np.abs(logs[a] - logs[b]).mean() for a, b in pairs])

    neighbours = [(a, b) for a, b in pairwise(sorted(logs)) if b == a + 1]
    within = differences((a, b) for a, b in neighbours if a % 2)
    between = differences((a, b) for a, b in neighbours if a % 2 == 0)
    chance = np.random.default_rng(0)
    pairs = [chance.choice(sorted(logs), 2, replace=False) for _ in range(_RANDOM_PAIRS)]
    anyone = differences(pairs)
    assert len(within) > 60
    assert np.median(within) < 0.07
    assert (within < 0.1).mean() > 0.94
    assert 0.25 < np.median(between) < 0.45
    assert (between < 0.1).mean() < 0.2
    assert np.median(anyone) > 0.5
    assert anyone.mean() > 1.2


def test_both_sides_of_everyone_are_in_one_fold_or_in_the_test_set(names, shared_data):
    description = json.loads((shared_data / "Task04_Hippocampus" / "dataset.json").read_bytes())
    rule = rule_of(description)
    assert rule == DECATHLON
    cases, _ = split(entries(names), {}, {}, {}, rule)
    dataset = Dataset("task04", cases, "", rule)
    assert len(cases) == 220
    assert not dataset.split_by_file
    of_person: dict[int, list[str]] = {}
    for name in names:
        of_person.setdefault((number_of(name) + 1) // 2, []).append(name)
    assert len({entry.patient for entry in cases.values()}) == len(of_person) == 157
    config = TrainingRequest("one", "quick", ["fold=0", "with_test=true"]).config()
    for sides in of_person.values():
        assert len({cases[name].patient for name in sides}) == 1
        assert len({cases[name].fold for name in sides}) == 1
        for fold in (*folds(config, dataset), *dataset.splits()):
            assert len({name in fold["val"] for name in sides}) == 1
    held_out = [name for fold in folds(config, dataset) for name in fold["val"]]
    assert sorted(held_out) == sorted(names)


def test_a_split_by_file_is_told_and_made_anew_by_patient(names):
    """The new one is what a new preparation makes, here and on any other server."""
    by_file, _ = split(entries(names), {}, {}, {}, NAMES_ONLY)
    assert {entry.patient for entry in by_file.values()} == set(names)
    assert Dataset("task04", by_file, "").split_by_file
    anew, words = split(entries(names), by_file, {}, {}, DECATHLON)
    assert anew == split(entries(names), {}, {}, {}, DECATHLON)[0]
    assert "The earlier split was by file" in words[-1]
    assert split_file(anew, DECATHLON) != split_file(by_file)


@pytest.fixture
def source(tmp_path, shared_data):
    folder = real(tmp_path / "source", shared_data, 20)
    description = shared_data / "Task04_Hippocampus" / "dataset.json"
    (folder / "dataset.json").symlink_to(description)
    return folder


def test_a_set_that_an_earlier_version_prepared_gets_a_new_hash_and_stays_readable(
    source, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "var"))
    storage = LocalStorage(tmp_path / "var" / "storage")
    old, _ = prepare(source, storage, "one", rule=NAMES_ONLY)
    # As it was written before rules had names.
    storage.write("datasets/one/split.json", split_file(old.cases))
    old = Datasets(storage).get("one")
    assert old.split_by_file
    assert not old.rule

    assert main(["data", "prepare", str(source), "--name", "one"]) == 0
    assert "The earlier split was by file" in capsys.readouterr().out
    datasets = Datasets(storage)
    anew = datasets.get("one")
    assert anew.sha256 != old.sha256
    assert anew.rule == DECATHLON
    assert not anew.split_by_file
    assert json.loads(storage.read("datasets/one/dataset.json"))["patient_rule"] == DECATHLON
    for entry in json.loads(storage.read("datasets/one/split.json"))["cases"].values():
        assert entry["patient"].startswith("Task04-")
        assert -1 <= entry["fold"] < FOLDS
    before = datasets.get("one", old.sha256)
    assert before == old
    assert before.split_by_file
    folder = tmp_path / "var" / "storage" / "datasets" / "one"
    for dataset in (before, anew):
        datasets.verify(dataset, folder)
    # nnU-Net is told which files are of this split: those of the earlier one lie beside them.
    listed = json.loads((folder / "dataset.json").read_bytes())["dataset"]
    assert set(listed) == set(anew.training)

    assert main(["data", "prepare", str(source), "--name", "one"]) == 0
    assert datasets.get("one").sha256 == anew.sha256


def test_the_rule_of_a_prepared_set_holds_for_cases_that_come_without_a_description(
    source, tmp_path, shared_data
):
    storage = LocalStorage(tmp_path / "storage")
    before, _ = prepare(source, storage, "one")
    more = real(tmp_path / "more", shared_data, 12, first=41)  # the first has its partner before
    after, _ = prepare(more, storage, "one")
    assert after.rule == DECATHLON
    assert {name: after.cases[name] for name in before.cases} == before.cases
    assert not after.split_by_file


def test_a_case_that_changes_sides_takes_its_files_along_without_the_source(tmp_path):
    """The table comes with other cases: the old files are taken from the storage."""
    storage = LocalStorage(tmp_path / "storage")
    before, _ = prepare(made(tmp_path / "source", 30), storage, "one")
    tested, trained = before.test[0], before.training[0]
    more = made(tmp_path / "more", 32, prefix="x_")
    for part in ("imagesTr", "labelsTr"):
        for path in sorted((more / part).iterdir())[:30]:
            path.unlink()
    after, report = prepare(more, storage, "one", table={tested: "p", trained: "p"})
    assert after.cases[tested].fold == after.cases[trained].fold == before.cases[trained].fold
    assert any("1 patient was on two sides" in rule for rule in report.rules)
    assert file_names(tested, after.cases[tested])[0].startswith("imagesTr/")
    for dataset in (before, after):
        Datasets(storage).verify(dataset, tmp_path / "storage" / "datasets" / "one")


def test_names_that_end_in_digits_are_no_rule():
    cases, words = split(entries(f"hippocampus_{n:03}" for n in range(1, 25)), {}, {}, {})
    assert len({entry.patient for entry in cases.values()}) == 24
    assert DECATHLON in words[-1]  # but it is said
    cases, _ = split(entries(f"scan_{n:03}" for n in range(1, 25)), {}, {}, {}, DECATHLON)
    assert len({entry.patient for entry in cases.values()}) == 24
    assert not Dataset("scans", cases, "").split_by_file


def test_a_description_with_an_unknown_rule_is_refused():
    assert rule_of({"name": "Hippocampus", "licence": "ours"}) == ""
    assert rule_of({"patient_rule": NAMES_ONLY, "name": "Hippocampus"}) == NAMES_ONLY
    with pytest.raises(InputError, match="not known: 'pairs'"):
        rule_of({"patient_rule": "pairs"})


def test_a_case_counts_as_seen_when_its_patient_was_trained_on():
    cases, _ = split(entries(f"hippocampus_{n:03}" for n in range(1, 41)), {}, {}, {}, DECATHLON)
    dataset = Dataset("one", cases, "", DECATHLON)
    assert dataset.known_to({"content hippocampus_003"}) == {"hippocampus_003", "hippocampus_004"}
    config = TrainingRequest("one", "quick", ["fold=2"]).config()
    learned = {cases[name].content_sha256 for name in trained_on(config, dataset)}
    known = dataset.known_to(learned)
    assert known == set(trained_on(config, dataset))
    torn = Dataset("one", {n: replace(e, patient=n) for n, e in cases.items()}, "")
    assert torn.known_to({"content hippocampus_003"}) == {"hippocampus_003"}
