"""Which cases to look at, and how a change is spread over scanners."""

from datetime import timedelta

import pytest

from core.drift.kinds import followed
from core.drift.looks import MOST_TYPICAL, MOST_UNUSUAL, looks_of
from core.drift.of_cases import drift_of_cases
from core.drift.words import advice_words, chain_dict
from core.exports.tables import report_json
from tests.core.drift.test_watch import Place
from tests.drift import analysis, table

CROP = followed("crop")


def test_the_most_unusual_since_the_change_and_the_most_typical_before_it():
    before = [(n, f"A{n}", {"noise": [0.1 * n, 0.1 * n], "bias": [0.0, 0.0]}) for n in range(1, 9)]
    after = [
        (n, f"B{n}", {"noise": [2.0, float(n)], "bias": [0.0, 0.5]}) for n in range(9, 25)
    ]  # fmt: skip
    gone, again = (25, None, {"noise": [2.0, 99.0]}), (26, "B26", {})
    looks = looks_of([*before, *after, gone, again], 9, ("noise", 1), CROP)
    assert [each.case_id for each in looks.unusual] == [f"B{24 - n}" for n in range(MOST_UNUSUAL)]
    assert (looks.unusual[0].feature.key, looks.unusual[0].away_sd) == ("noise", 24.0)
    assert looks.typical == ("A1", "A2", "A3")[:MOST_TYPICAL]
    assert looks.since == (*(f"B{n}" for n in range(9, 25)), "B26")
    assert looks.off == looks.since[:-1]
    assert looks_of([*before, *after], 9, ("noise", -1), CROP).off == ()


def test_results_make_no_case_unusual():
    steps = [(1, "A", {"agreement": [3.0, 30.0], "noise": [0.2, 0.2]})]
    (unusual,) = looks_of(steps, 1, ("agreement", 1), followed("head")).unusual
    assert unusual.feature.key == "noise"


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.add("crop", 8)
    for number, values in enumerate(table(made.rng, 12, sharpness=-4)):
        made.house.clock.now += timedelta(minutes=1)
        if number % 3 == 2:
            (values,) = table(made.rng, 1, sd=0.3)
        name = ("ACME Alpha", "ACME Alpha", "*Beta*")[number % 3]
        made.house.cases.add(analysis(1, values, is_head=False, scanner=name), "x")
    return made


def test_it_says_of_which_scanner_the_changed_cases_are(place):
    chains = place.watch.look(may_begin=True)
    crops = drift_of_cases(place.house.cases, place.registry, place.house.storage, 20, chains).crops
    assert [(each.scanner, each.cases) for each in crops.scanners] == [
        ("ACME Alpha", 8), ("*Beta*", 4),
    ]  # fmt: skip
    assert [each.off for each in crops.scanners] == [8, 0]
    assert crops.scanner_words[0] == (
        "Of 8 crops of the scanner ACME Alpha since then, 8 are blurred by 1 SD or more"
    )
    assert crops.as_dict()["by_scanner"][1]["scanner"] == "*Beta*"
    chain = crops.chain
    assert f"Look at these {len(chain.looks.unusual)} cases first" in advice_words(chain)[0]
    case = place.house.cases.get(chain.looks.unusual[0].case_id)
    assert case.report["scanner"] == "ACME Alpha"
    assert b"ACME" not in report_json(case)
    told = chain_dict(chain)["unusual"]
    assert told[0]["case"] == chain.looks.unusual[0].case_id


def test_a_case_that_was_deleted_is_not_looked_at(place):
    first = place.crops().looks.unusual[0].case_id
    place.house.cases.delete(first)
    looks = place.crops().looks
    assert first not in {each.case_id for each in looks.unusual} | set(looks.since)
