"""Groups are kept in the storage alone, and made of accepted cases."""

import pytest

from core.errors import ConflictError, InputError, NotFoundError, StorageError
from core.references.comparison import why_not_in
from core.references.groups import DEMONSTRATION, References, demonstration
from core.references.of_cases import candidates, group_of
from tests.house import House
from tests.references import KNOWN, group, head_analysis, head_report


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    house.cases.import_from_storage()
    return house


def test_a_group_outlives_the_database_and_is_deleted_once(house):
    references = References(house.storage)
    made = references.add(group(), "Ada")
    assert made.created_by == "Ada"
    assert References(house.storage).all() == [made, demonstration()]
    references.delete(made.id)
    assert references.all() == [demonstration()]
    for gone in (made.id, DEMONSTRATION):
        with pytest.raises(NotFoundError):
            references.delete(gone)


def test_two_groups_of_one_name_are_refused(house):
    references = References(house.storage)
    references.add(group(), "Ada")
    with pytest.raises(ConflictError, match="of this name"):
        references.add(group(name="  CONTROLS "), "Ada")


def test_one_name_given_twice_at_once_is_kept_once(house, monkeypatch):
    references, made = References(house.storage), []
    write = house.storage.replace

    def replace(*arguments):  # another administrator is between the question and the write
        monkeypatch.undo()
        made.append(references.add(group(), "Ada"))
        return write(*arguments)

    monkeypatch.setattr(house.storage, "replace", replace)
    with pytest.raises(ConflictError, match="of this name"):
        references.add(group(), "Eve")
    assert references.all() == [*made, demonstration()]


def test_a_damaged_file_is_named(house):
    made = References(house.storage).add(group(), "Ada")
    house.inner.write(f"references/{made.id}.json", b"{}")
    with pytest.raises(StorageError, match="damaged"):
        References(house.storage).all()


def test_the_demonstration_group_gives_percentiles_to_adults_and_says_what_it_is():
    shipped = demonstration()
    assert len(shipped.people) == 60
    assert "No norm" in shipped.source
    for sex in "FM":
        assert why_not_in(shipped, 35, sex) == ""
        assert "no percentile outside" in why_not_in(shipped, 70, sex)


def test_accepted_heads_of_known_people_can_stand_in_a_group_each_person_once(house):
    cases = house.cases

    def add(number, *, patient="", review="accepted", **changes):
        case = cases.add(head_analysis(number, **changes), "x", patient)
        cases.review(case.id, review, "Ada", "because")
        return case.id

    add(1, patient="P-1")
    house.clock.now = house.clock.now.replace(minute=5)
    newest = add(2, patient="P-1")
    alone = {add(3), add(4)}
    add(5, review="rejected")
    add(6, study=KNOWN | {"sex": "O"})
    add(7, study=None)
    add(8, head=None)
    add(9, measures=head_report(right=0)["measures"])
    found = candidates(cases)
    assert {candidate.case.id for candidate in found} == {newest, *alone}
    made = group_of(found, "Ours", "Volunteers")
    assert {person.case for person in made.people} == {newest, *alone}
    assert made.is_ours
    assert made.model_version == "1"
    add(10, model={"version": "2", "sha256": "c"})
    with pytest.raises(InputError, match="2 model versions"):
        group_of(candidates(cases), "Ours", "Volunteers")
