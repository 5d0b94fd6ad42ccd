import pytest

from core.training.data.source import pairs_of


@pytest.fixture
def source(tmp_path):
    def make(images, labels):
        for part, names in (("imagesTr", images), ("labelsTr", labels)):
            (tmp_path / part).mkdir()
            for name in names:
                (tmp_path / part / name).write_bytes(b"")
        pairs, left_out, rules = pairs_of(tmp_path)
        return {c: (i.name, t.name) for c, (i, t) in pairs.items()}, left_out, rules

    return make


def test_full_names_are_paired_before_a_suffix_is_cut(source):
    names = ["case_0000.nii.gz", "case_0001.nii.gz", "case_0002.nii.gz"]
    pairs, left_out, rules = source(names, names)
    assert list(pairs) == ["case_0000", "case_0001", "case_0002"]
    assert all(image == label for image, label in pairs.values())
    assert left_out == {}
    assert rules == ["3 images paired with the label of the same name"]


def test_the_first_channel_belongs_to_the_label_named_without_it(source):
    pairs, left_out, rules = source(["a_0000.nii.gz", "b.nii"], ["a.nii.gz", "b.nii.gz"])
    assert pairs == {"a": ("a_0000.nii.gz", "a.nii.gz"), "b": ("b.nii", "b.nii.gz")}
    assert left_out == {}
    assert "1 image paired with the label of their name without _0000" in rules


def test_another_channel_is_named_as_one_and_the_first_is_used(source):
    images = ["a_0000.nii.gz", "a_0001.nii.gz", "b_0001.nii.gz", "c.nii.gz", "c_0000.nii.gz",
              "d_0001.nii.gz"]  # fmt: skip
    pairs, left_out, _ = source(images, ["a.nii.gz", "b.nii.gz", "c.nii.gz"])
    assert pairs == {"a": ("a_0000.nii.gz", "a.nii.gz"), "c": ("c.nii.gz", "c.nii.gz")}
    assert "channel 0001 of case a" in left_out["imagesTr/a_0001.nii.gz"]
    assert "_0000 is used" in left_out["imagesTr/a_0001.nii.gz"]
    assert "first channel (_0000) is missing" in left_out["imagesTr/b_0001.nii.gz"]
    assert "the one named as its label is used" in left_out["imagesTr/c_0000.nii.gz"]
    assert left_out["imagesTr/d_0001.nii.gz"] == "an image without a label"
    assert left_out["labelsTr/b.nii.gz"] == "a label without an image"


def test_capital_suffixes_are_taken_and_twins_are_not(source):
    pairs, left_out, _ = source(["A.NII.GZ", "b.Nii"], ["A.nii", "A.NII.GZ", "b.nii.gz"])
    assert pairs["b"] == ("b.Nii", "b.nii.gz")
    assert pairs["A"][0] == "A.NII.GZ"
    assert list(left_out.values()) == ["A is there twice"]
