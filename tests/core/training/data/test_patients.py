import pytest

from core.errors import InputError
from core.training.data.patients import grouped, patient_of, read_table, words


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("sub-01_ses-1_left", "sub-01"), ("P07_L", "P07"), ("P07_R", "P07"), ("p_Left", "p"),
        ("p-rh", "p"), ("hippocampus_001", "hippocampus_001"), ("left_P07", "left_P07"),
        ("R", "R"), ("scanner", "scanner"), ("x_lr", "x_lr"),
    ],
)  # fmt: skip
def test_a_name_says_whose_it_is(case, patient):
    assert patient_of(case) == patient


def test_the_table_comes_before_the_names_and_helps_those_that_it_leaves_out():
    found = grouped(["a", "b", "P1_L", "P1_R", "c"], {"a": "x", "b": "x", "P1_L": "y"})
    assert {case: patient for case, (patient, _) in found.items()} == {
        "a": "x", "b": "x", "P1_L": "y", "P1_R": "y", "c": "c",
    }  # fmt: skip
    apart = grouped(["P1_L", "P1_R", "P1_lh"], {"P1_L": "x", "P1_R": "y"})
    assert [patient for patient, _ in apart.values()] == ["x", "y", "P1"]


def test_what_could_not_be_grouped_is_said():
    assert words(grouped(["a_L", "a_R"])) == [
        "2 cases of 1 patient: grouped 2 by the name without its side (_L, _R, _left, _right)"
    ]
    said = words(grouped(["a", "b", "sub-1"]))
    assert "2 cases could not be grouped" in said[1]
    assert "--patients" in said[1]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_a_spreadsheet_is_read(tmp_path, separator):
    file = tmp_path / "t.csv"
    lines = ("Patient,age,CASE", "p1,70,a.nii.gz", "p1,71,b", "", "p2,,c.NII")
    file.write_text("\r\n".join(lines).replace(",", separator), "utf-8-sig")
    assert read_table(file) == {"a": "p1", "b": "p1", "c": "p2"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the columns none"), (b"name,patient\n", "the columns name, patient"),
        (b"case,patient\na\n", "line 2"), (b"case,patient\n,p\n", "line 2"),
        (b"case,patient\na,p\na,q\n", "two patients, in line 3"), (b"\xff\xfe", "as text"),
    ],
)  # fmt: skip
def test_a_table_that_says_nothing_is_refused(tmp_path, content, why):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=why):
        read_table(tmp_path / "t.csv")


def test_what_is_cut_from_a_head_has_the_patient_of_the_head():
    cases = ["P07.head-left", "P07.head-right2", "sub-01_ses-1.head-left", "sub-01_ses-2.head-left"]
    groups = grouped(cases)
    assert groups["P07.head-left"] == groups["P07.head-right2"] == ("P07", "head")
    assert groups[cases[2]] == groups[cases[3]] == ("sub-01", "sub-")
    assert grouped(cases, {"P07": "anna"})["P07.head-right2"] == ("anna", "table")
    (line,) = words(groups)
    assert "2 by sub-XX in the name, 2 by the head that they were cut from" in line


def test_scans_of_this_installation_without_a_patient_are_counted_as_scans():
    cases = ["HV-1.head-left", "HV-1.head-left2", "HV-1.head-right", "HV-2", "HV-3.head-left"]
    _, line = words(grouped(cases, {"HV-3": "P-3"}), of_cases=True)
    assert line.startswith("2 cases have no patient")
    given = {"HV-1": "P-1", "HV-2": "P-2", "HV-3": "P-3"}
    (line,) = words(grouped(cases, given), of_cases=True)
    assert line.startswith("5 cases of 3 patients")
