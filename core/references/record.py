"""A case's place in a group as it stands in files: numbers never without what they mean."""

from typing import Any

from core.references.comparison import Comparison
from core.references.group import Group
from core.references.quantiles import COVERAGE_PERCENT

_DIGITS = 1


def record_of(comparison: Comparison, group: Group) -> dict[str, Any]:
    """For JSON; empty where there are no percentiles."""
    comparability = comparison.comparability
    if comparability is None:
        return {}
    return {
        "name": group.name,
        "protocol": group.protocol,
        "people": len(comparison.people),
        "comparable": comparability.is_given,
        "comparability": comparability.in_words,
        "case_is_in_group": comparison.is_member,
        "percentiles": {
            standing.measure: {
                "percentile": round(standing.place.percentile, _DIGITS),
                "interval": [
                    round(end, _DIGITS) for end in (standing.place.low, standing.place.high)
                ],
                "interval_percent": COVERAGE_PERCENT,
                "comparable": comparability.is_given,
                "sentence": standing.sentence,
            }
            for standing in comparison.standings
        },
    }


def rows_of(comparison: Comparison, group: Group) -> list[tuple[str, str, str, str, str]]:
    """For CSV: quantity, label, value, unit and remark, which says whether it can be compared."""
    record = record_of(comparison, group)
    if not record:
        return []
    remark = f"of group {group.name}, n = {record['people']}, {record['comparability']}"
    return [
        (quantity, measure, f"{value:.{_DIGITS}f}", "", remark)
        for measure, of in record["percentiles"].items()
        for quantity, value in (
            ("percentile", of["percentile"]),
            ("percentile_low", of["interval"][0]),
            ("percentile_high", of["interval"][1]),
        )
    ]
