"""A chain in words, and for programs."""

from dataclasses import asdict
from typing import Any

from core.drift.chains import Chain, Moved, Scan
from core.drift.cusum import ENDS_AT
from core.wording import counted

_MOST_MOVED = 6


def count_words(chain: Chain) -> str:
    """How many scans a chain has, and since when its state holds."""
    words = (
        f"{counted(chain.scans, chain.kind)} followed one by one since {chain.began_at[:10]}, when "
        f"this began for model version {chain.version}"
    )
    if chain.since:
        words += f"; {chain.severity} since {_time(chain.since)}"
    return f"{words}."


def rule_words(chain: Chain) -> str:
    """The rule, with its measured rate of false alarms."""
    at = chain.thresholds
    return (
        f"Each new {chain.kind} is compared with the reference, feature by feature. What lies far "
        "from its middle adds to the evidence of that feature, what lies near takes away from it. "
        f"*Watch* begins when the evidence of one feature reaches {at.watch:.1f}, *act* when that "
        f"of a feature of the image reaches {at.act:.1f}; each ends when it falls below "
        f"{ENDS_AT:.0%} of that. The evidence is {chain.level:.1f} now. False alarms, measured "
        f"over {at.streams:,} simulated streams of unchanged scans: *watch* once in "
        f"{at.watch_cases:,.0f} cases on average, *act* once in {at.act_cases:,.0f} "
        f"(asked for: {chain.run_length:,}, the setting HIPPOVIEW_DRIFT_RUN_LENGTH)."
    )


def since_words(chain: Chain) -> list[str]:
    """What moved, since when and by how much, a sentence each; the strongest evidence first."""
    return [_moved_words(moved, chain) for moved in chain.moved[:_MOST_MOVED]]


def advice_words(chain: Chain) -> list[str]:
    """What to do, a sentence each; none while the chain is quiet."""
    if not chain.looks.unusual:
        return []
    many = len(chain.looks.unusual)
    look = f"these {many} cases" if many > 1 else "this case"
    return [
        f"Look at {look} first: are the masks still right, and is it a fault of the scanner or of "
        "what is sent here? Then have that mended, and the evidence falls by itself.",
        "Retrain if the scans will stay as they are now and the masks have become worse: review "
        "the new cases, correct them, and train on them.",
        "Accept the new scans as normal if they will stay and the masks are right: later ones are "
        "compared with them then.",
    ]


def chain_dict(chain: Chain) -> dict[str, Any]:
    """For programs."""
    return {
        "severity": chain.severity,
        "since": chain.since or None,
        "scans": chain.scans,
        "began_at": chain.began_at,
        "evidence": round(chain.level, 3),
        "run_length": chain.run_length,
        "thresholds": asdict(chain.thresholds),
        "moved": [
            {
                "feature": moved.feature.key,
                "name": moved.feature.name,
                "direction": "higher" if moved.direction > 0 else "lower",
                "evidence": round(moved.evidence, 3),
                "shift_sd": round(moved.away_sd, 3),
                "since": asdict(moved.first),
                "earliest": moved.earliest.number,
                "latest": moved.latest.number,
                "can_ask_for_action": not moved.feature.note,
            }
            for moved in chain.moved
        ],
        "unusual": [
            {
                "case": unusual.case_id,
                "feature": unusual.feature.key,
                "away_sd": round(unusual.away_sd, 3),
            }
            for unusual in chain.looks.unusual
        ],
    }


def _moved_words(moved: Moved, chain: Chain) -> str:
    feature = moved.feature
    how = feature.higher if moved.direction > 0 else feature.lower
    words = (
        f"{feature.name}: the scans {how} since scan {moved.first.number} of {chain.scans} "
        f"({_scan(moved.first)}), by {moved.away_sd:+.1f} SD in the middle"
    )
    if moved.earliest.number < moved.latest.number:
        words += f"; it began between scans {moved.earliest.number} and {moved.latest.number}"
    return f"note, {words}; {feature.note}" if feature.note else words


def _scan(scan: Scan) -> str:
    return f"{scan.case_id or 'a scan that is not kept'}, {_time(scan.at)}"


def _time(at: str) -> str:
    return f"{at[:10]} {at[11:16]} UTC"
