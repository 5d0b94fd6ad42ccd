"""A download of several cases: each mask is the one that its record is about."""

from types import SimpleNamespace

from app import batch
from core.exports.tables import Outcome
from core.image import nifti
from tests.house import House
from tests.tiny import analysis, number_of, packed


def test_a_mask_that_is_saved_meanwhile_does_not_come_with_the_older_record(tmp_path, monkeypatch):
    house = House(tmp_path)
    case = house.cases.add(analysis(1), "x")

    def get(case_id):
        found = house.cases.get(case_id)
        house.corrections.save(case_id, packed(9), base=0, author="A", comment="")
        return found

    def archive(outcomes, masks, with_names):
        assert [outcome.case.mask_version for outcome in outcomes] == [0]
        assert [number_of(nifti.read_mask(mask)) for _, mask in masks] == [1]
        return b"zip"

    monkeypatch.setattr(batch, "archive", archive)
    shared = SimpleNamespace(
        cases=SimpleNamespace(get=get, mask_file=house.cases.mask_file, acts=house.cases.acts)
    )
    assert batch.zip_of(shared, [Outcome("x", case)], with_names=False) == b"zip"
