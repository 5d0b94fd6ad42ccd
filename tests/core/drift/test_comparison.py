import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from core.__main__ import main
from core.drift.comparison import compare
from core.drift.reference import training_crops
from core.exports.drift_report import Part, report_html
from core.measures.features import FEATURES, features_of
from core.models.registry import REFERENCE_NAME
from core.settings import Settings
from tests.drift import table
from tests.heads import head_2mm
from tests.scans import example, noise

SPACING = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def reference():
    content = json.loads((Settings().model_dir / REFERENCE_NAME).read_bytes())
    return training_crops(content["cases"])


def test_there_are_seventeen_finite_features():
    values = features_of(noise(), SPACING)
    assert list(values) == [feature.key for feature in FEATURES]
    assert len(values) == 17
    assert np.isfinite(list(values.values())).all()


@settings(max_examples=30)
@given(gain=st.floats(0.5, 1e3), offset=st.floats(0, 10))
def test_gain_and_offset_move_only_the_features_of_the_raw_values(gain, offset):
    data = np.asarray(example().dataobj, np.float32)
    before = features_of(data, SPACING)
    after = features_of((data * gain + offset).astype(np.float32), SPACING)
    for feature in FEATURES:
        if not feature.note:
            assert after[feature.key] == pytest.approx(before[feature.key], abs=0.05)


@pytest.mark.parametrize(
    ("change", "key", "sign"),
    [
        (lambda d: ndimage.gaussian_filter(d, 0.7), "sharpness", -1),
        (lambda d: d + np.random.default_rng(0).normal(0, d.std() / 4, d.shape), "noise", 1),
        (lambda d: d * np.linspace(0.5, 1.5, d.shape[0])[:, None, None], "bias", 1),
        (lambda d: ndimage.uniform_filter1d(d, 3, axis=2), "step_z", -1),
        (lambda d: d[4:-4], "size_x", -1),
    ],
)
def test_a_feature_moves_as_its_words_say(change, key, sign):
    data = np.asarray(example().dataobj, np.float32)
    before = features_of(data, SPACING)[key]
    after = features_of(change(data).astype(np.float32), SPACING)[key]
    assert (after - before) * sign > 0


def test_features_are_what_the_plain_formulas_give():
    data = np.asarray(example().dataobj, np.float32)
    scaled = (data - data.mean(dtype=float)) / data.std(dtype=float)
    p1, p10, p50, p90, p99 = np.percentile(scaled, [1, 10, 50, 90, 99])
    counts = np.histogram(np.clip(scaled, p1, p99), 64)[0]
    values = features_of(data, SPACING)
    assert values["contrast"] == pytest.approx((p90 - p50) / (p50 - p10))
    assert values["entropy"] == pytest.approx(stats.entropy(counts, base=2), abs=1e-3)
    assert values["sharpness"] == pytest.approx(np.log((ndimage.laplace(scaled) ** 2).mean()))
    assert values["kurtosis"] == pytest.approx(stats.kurtosis(scaled, None, fisher=False))


def test_too_few_cases_say_nothing(reference):
    drift = compare(reference, reference[:9])
    assert drift.state == "not enough yet"
    assert "9 of the 10" in drift.reasons[0]
    assert compare(reference[:9], reference).state == "not enough yet"
    part = Part("Crops", drift, reference, reference[:9], ["x"] * 9)
    assert b"not enough yet" in report_html([part])


def test_unshifted_cases_are_quiet_nineteen_times_in_twenty(reference):
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        chosen = set(rng.choice(len(reference), 20, replace=False).tolist())
        window = [reference[i] for i in chosen]
        rest = [case for i, case in enumerate(reference) if i not in chosen]
        alarms += compare(rest, window).state != "quiet"
    assert alarms <= 0.05 * 200


def test_doubled_gain_is_told_but_no_alarm(reference):
    window = [case | {"log_mean": case["log_mean"] + 8} for case in reference[:20]]
    drift = compare(reference, window)
    told = [reason for reason in drift.reasons if "mean intensity" in reason]
    assert len(told) == 1
    assert "brighter" in told[0]
    assert drift.state == "quiet"


def test_features_that_raise_no_alarm_do_not_loosen_the_others():
    """The raw scale is another in every window; nothing that masks depend on moved."""
    rng = np.random.default_rng(0)
    raw = {feature.key: 5 for feature in FEATURES if feature.note}
    drifts = [compare(table(rng, 220), table(rng, 20, **raw)) for _ in range(200)]
    assert all(sum("note, " in reason for reason in d.reasons) == 2 for d in drifts)
    assert sum(drift.state != "quiet" for drift in drifts) <= 0.075 * 200  # 5 % and two errors


def test_an_alarm_is_corrected_among_the_fifteen_that_can_raise_one():
    rng = np.random.default_rng(3)
    before, after = table(rng, 200), table(rng, 40, skew=0.5)
    drift = compare(before, after)
    p_values = [
        stats.ks_2samp([c[f.key] for c in before], [c[f.key] for c in after]).pvalue
        for f in FEATURES if not f.note
    ]  # fmt: skip
    expected = stats.false_discovery_control(p_values)
    found = [c.q_value for c in drift.comparisons if not c.feature.note]
    assert found == pytest.approx(list(expected))


def test_where_only_the_spread_moved_it_says_so():
    rng = np.random.default_rng(1)
    wide = compare(table(rng, 200), table(rng, 200, sd=3))
    assert all("differ more among themselves" in reason for reason in wide.reasons)
    narrow = compare(table(rng, 200), table(rng, 200, sd=0.3))
    assert all("differ less among themselves" in reason for reason in narrow.reasons)
    for drift in (wide, narrow):
        assert {c.finding for c in drift.comparisons if c.moved} == {"spread"}
        assert drift.state == "act"
    part = Part("Crops", wide, table(rng, 200), table(rng, 200), ["x"] * 200)
    assert b"spread" in report_html([part])


def test_a_direction_is_told_where_the_middle_moved():
    rng = np.random.default_rng(2)
    drift = compare(table(rng, 200), table(rng, 40, skew=1.5, noise=-1.5))
    assert any("lean to light values (+" in reason for reason in drift.reasons)
    assert any("are smoother (-" in reason for reason in drift.reasons)
    same = [case | {"size_x": 30.0} for case in table(rng, 40)]  # all alike: no error at all
    assert "are narrower (" in str(compare([c | {"size_x": 35.0} for c in same], same).reasons)


def test_the_report_opens_without_a_network_and_escapes_names(reference):
    drift = compare(reference, reference[:20])
    names = ["<script>alert(1)</script>"] * 20
    page = report_html([Part("Crops", drift, reference, reference[:20], names)])
    text = page.decode()
    assert "<script" not in text
    assert "Not for diagnosis" in text
    links = re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)([^\"']+)", text)
    assert links == []
    assert re.findall(r"url\((?!#|[\"']?#)", text) == []


@pytest.mark.parametrize(
    ("kind", "state"), [pytest.param("plain", "quiet", marks=pytest.mark.long), ("blurred", "act")]
)
def test_the_command_tells_plain_from_blurred(kind, state, windows, task04, tmp_path, capsys):
    html, record = tmp_path / "r.html", tmp_path / "r.json"
    window = tmp_path / "window"
    shutil.copytree(windows[kind], window)
    (window / "broken.nii.gz").write_bytes(b"\x1f\x8b")
    first = sorted(window.glob("hippo*"))[0]
    first.rename(window / "CAPITAL.NII.GZ")
    (window / "notes.json").write_text("{}")
    arguments = ["drift", "--reference", str(task04[0].parent), "--window", str(window),
                 "--html", str(html), "--json", str(record)]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"state: {state}"
    assert ("sharpness" in printed) == (kind == "blurred")
    assert "left out of the window: broken.nii.gz" in printed
    assert "left out of the window: notes.json: not a .nii" in printed
    figures = json.loads(record.read_bytes())
    assert figures["state"] == state
    assert "CAPITAL.NII.GZ" in figures["cases"]
    assert figures["left_out"].keys() == {"broken.nii.gz", "notes.json"}
    assert b"Drift report" in html.read_bytes()
    assert main(["drift", "--reference", str(tmp_path / "no"), "--window", str(tmp_path)]) == 1


def test_the_command_says_of_heads_what_it_says_of_crops(tmp_path, capsys):
    for name, head in (("reference", "a.nii.gz"), ("window", "b.nii.gz")):
        (tmp_path / name).mkdir()
        nib.save(head_2mm(), tmp_path / name / head)
    nib.save(example(), tmp_path / "window" / "crop.nii.gz")
    record = tmp_path / "r.json"
    arguments = ["drift", "--reference", str(tmp_path / "reference"), "--window",
                 str(tmp_path / "window"), "--json", str(record)]  # fmt: skip
    assert main([*arguments, "--html", str(tmp_path / "r.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "state: not enough yet", "  1 of the 10 newest scans that are needed are there",
        "heads: not enough yet", "  1 of the 10 newest scans that are needed are there",
    ]  # fmt: skip
    figures = json.loads(record.read_bytes())
    assert (figures["cases"], figures["heads"]["cases"]) == (["crop.nii.gz"], ["b.nii.gz"])
    assert "<h2>Heads</h2>" in (tmp_path / "r.html").read_text()
