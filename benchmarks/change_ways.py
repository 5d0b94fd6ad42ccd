"""``python -m benchmarks.change_ways STORE EDGE``: ways to tell a change from none, on one store.

STORE is what `benchmarks.scans_again` filled, EDGE ``2mm`` or ``1mm``. A way is how the change of a
hippocampus is measured, with how its band is made: today's, or from the unchanged pairs of all
other heads of the store, so that no head judges itself. Printed are for each, of the sides of
unchanged pairs, how many are called unchanged, and of pairs in which both are; of pairs whose later
hippocampi are 3 % smaller, how many intervals hold -3 %; the band's width in the median; and how
many sides are called smaller that are by 3, 5 and 10 %, with what is found of it in the mean.

Today's file is also taken without what the judged head itself gave to it (`_SET_IT`).

At the end what a scan varies by over all heads of the store (the figures that
``models/repeatability.json`` takes), and how far the localiser's two head sizes vary.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scans_again import BEFORE, PLANS, SAME, SMALLER, rows
from core.anatomy import SIDES
from core.measures.change import PARTS, Repeatability, band
from core.measures.repeatability import measured_for
from core.models.folder import load_model
from core.settings import Settings

Row = dict[str, Any]
_KINDS = (SAME, *SMALLER)
_COVERED = 0.95
_WIDTH = 1.96
TODAYS, WITHOUT = "today's file", "today's file without the head itself"
# Of the heads that set the file's band of 2 mm, those that a store can have.
_SET_IT = ("subject_10", "subject_14", "subject_16")


@dataclass(frozen=True)
class Seen:
    """One side of one pair, as a way sees it.

    Attributes
    ----------
    pair : (str, str, int)
        Head, kind and number.
    side : str
    ratio : dict of str to float
        By part, the logarithm of the later volume over the earlier.
    doubt : dict of str to float
        By part, how far mirrored predictions disagree, of both scans together.
    """

    pair: tuple[str, str, int]
    side: str
    ratio: dict[str, float]
    doubt: dict[str, float]

    @property
    def kind(self) -> str:
        """What became of the hippocampi."""
        return self.pair[1]


class Store:
    """The rows of some plans."""

    def __init__(self, folder: Path, plans: list[str]) -> None:
        self.scans: dict[tuple[str, str, int], Row] = {}
        self.pairs: dict[tuple[str, str, int], Row] = {}
        for row in (row for plan in plans for row in rows(folder, plan)):
            of = self.scans if row["row"] == "scan" else self.pairs
            if not row.get("refused"):
                of[row["head"], row["kind"], row["number"]] = row

    def seen(self, way: "Way") -> list[Seen]:
        """Each side of each pair that the way can measure."""
        found = []
        for (head, kind, number), row in self.scans.items():
            first = self.scans.get((head, BEFORE, number))
            pair = self.pairs.get((head, kind, number))
            if kind == BEFORE or first is None or (pair is None and way is not as_it_ships):
                continue
            for side in SIDES:
                if side in first["volumes"] and side in row["volumes"]:
                    ratio = way(first, row, pair or {}, side)
                    doubt = {p: _doubt(first, side, p) + _doubt(row, side, p) for p in PARTS}
                    found.append(Seen((head, kind, number), side, ratio, doubt))
        return found

    def spreads(self) -> dict[str, dict[str, float]]:
        """By head and part, SD / mean over the unchanged scans, root mean square of both sides."""
        volumes = defaultdict(lambda: defaultdict(list))
        for (head, kind, _), row in self.scans.items():
            if kind in (BEFORE, SAME):
                for side in SIDES:
                    volumes[head][side].append([row["volumes"][side][part] for part in PARTS])
        found = {}
        for head, sides in volumes.items():
            of_sides = [np.std(v, axis=0, ddof=1) / np.mean(v, axis=0) for v in sides.values()]
            rms = np.sqrt(np.mean(np.square(of_sides), axis=0))
            found[head] = dict(zip(PARTS, map(float, rms), strict=True))
        return found

    def head_sizes(self) -> dict[str, float]:
        """SD / mean of the localiser's head sizes over the unchanged scans, root mean square."""
        found = {}
        for name in ("brain_ml", "frame_ml"):
            sizes = defaultdict(list)
            for (head, kind, _), row in self.scans.items():
                if kind in (BEFORE, SAME):
                    sizes[head].append(row[name])
            shares = [np.std(of, ddof=1) / np.mean(of) for of in sizes.values()]
            found[name] = round(float(np.sqrt(np.mean(np.square(shares)))), 4)
        return found


Way = Callable[[Row, Row, Row, str], dict[str, float]]
Band = Callable[[Seen, str], float]


def as_it_ships(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """The volumes of the two masks."""
    return {p: float(np.log(last["volumes"][side][p] / first["volumes"][side][p])) for p in PARTS}


def six_crops(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """Each scan's two crops and four more."""
    return {p: float(np.log(_six(last, side, p) / _six(first, side, p))) for p in PARTS}


def half_way(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """Both scans cut along one pair of axes about one centre."""
    return _ratios(*pair["half_way"][side])


def half_way_soft(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """The same, by the sums of probabilities."""
    return _ratios(*pair["half_way"][side], kind="soft ")


def half_way_and_own(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """The mean of half way and as it ships."""
    found = (half_way(first, last, pair, side), as_it_ships(first, last, pair, side))
    return {p: (found[0][p] + found[1][p]) / 2 for p in PARTS}


def half_way_and_six(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """The mean of half way and six crops."""
    found = (half_way(first, last, pair, side), six_crops(first, last, pair, side))
    return {p: (found[0][p] + found[1][p]) / 2 for p in PARTS}


def where_it_was(first: Row, last: Row, pair: Row, side: str) -> dict[str, float]:
    """The later scan cut where the earlier one was; the earlier one as it is."""
    crops = pair["where_it_was"][side]
    return {
        p: float(np.log(np.mean([c[p] for c in crops]) / first["volumes"][side][p])) for p in PARTS
    }


WAYS: dict[str, Way] = {
    "as it ships": as_it_ships, "six crops": six_crops, "where it was": where_it_was,
    "half way": half_way, "half way, probabilities": half_way_soft,
    "half way and as it ships": half_way_and_own, "half way and six crops": half_way_and_six,
}  # fmt: skip


def main() -> int:
    """Print a line a way and band."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("edge", choices=("2mm", "1mm"))
    options = parser.parse_args()
    plans = [
        p for p in PLANS if p.startswith(options.edge) and any((options.store / p).glob("*.jsonl"))
    ]
    store = Store(options.store, plans)
    for name, way in WAYS.items():
        seen = store.seen(way)
        heads = {one.pair[0] for one in seen}
        for how, limits in _bands(seen, float(options.edge.removesuffix("mm")), store.spreads()):
            is_todays = how in (TODAYS, WITHOUT)
            if (way is as_it_ships and heads) if is_todays else len(heads) > 1:
                print(json.dumps({"way": name, "band": how} | figures(seen, limits)), flush=True)
    if len(plans) > 1:
        fewer = [one for one in store.seen(as_it_ships) if one.pair in store.pairs]
        for name, way in WAYS.items():
            print(
                json.dumps({"way": name, "heads": "of the other ways"} | _errors(fewer, store, way))
            )
    spreads = store.spreads()
    for head, of in spreads.items():
        print(head, _percent(of))
    rms = {p: float(np.sqrt(np.mean([of[p] ** 2 for of in spreads.values()]))) for p in PARTS}
    print(f"{len(spreads)} heads: {_percent(rms)}; head sizes, SD / mean: {store.head_sizes()}")
    return 0


def _errors(pairs: list[Seen], store: Store, way: Way) -> dict[str, Any]:
    """Without a band: the SD of a pair's logarithm by kind, and its mean, in per cent."""
    of = {(one.pair, one.side): one for one in store.seen(way)}
    kept = [of[one.pair, one.side] for one in pairs]
    found: dict[str, Any] = {}
    for kind in _KINDS:
        ratios = np.array([[one.ratio[p] for p in PARTS] for one in kept if one.kind == kind])
        if len(ratios) > 1:
            found[kind] = {
                "sides": len(ratios),
                "sd": np.round(100 * ratios.std(axis=0, ddof=1), 2).tolist(),
                "mean": np.round(100 * np.expm1(ratios.mean(axis=0)), 2).tolist(),
            }
    return found


def _bands(
    seen: list[Seen], edge_mm: float, spreads: dict[str, dict[str, float]]
) -> Iterator[tuple[str, Band]]:
    """How a band may be made: for each head of the unchanged pairs of the others."""
    if shipped := _shipped(edge_mm):
        yield TODAYS, lambda one, part: band((shipped.spread[part], shipped.spread[part]))
        yield WITHOUT, lambda one, part: band((_without(shipped, spreads, one, part),) * 2)
    of_heads = {
        head: [one for one in seen if one.kind == SAME and one.pair[0] != head]
        for head in {one.pair[0] for one in seen}
    }
    for how, made in (
        ("1.96 SD", _by_sd), ("conformal quantile", _by_quantile),
        ("conformal, by how far mirrored predictions disagree", _by_doubt),
    ):  # fmt: skip
        limits = {head: made(others) for head, others in of_heads.items() if others}
        yield how, lambda one, part, limits=limits: limits[one.pair[0]](one, part)


def _without(
    shipped: Repeatability, spreads: dict[str, dict[str, float]], one: Seen, part: str
) -> float:
    head, share = one.pair[0], shipped.spread[part]
    if head not in _SET_IT:
        return share
    rest = shipped.heads * share**2 - spreads[head][part] ** 2
    return float(np.sqrt(rest / (shipped.heads - 1)))


def _by_sd(others: list[Seen]) -> Band:
    sd = {p: float(np.sqrt(np.mean([one.ratio[p] ** 2 for one in others]))) for p in PARTS}
    return lambda one, part: _WIDTH * sd[part]


def _by_quantile(others: list[Seen]) -> Band:
    found = {p: _upper(np.abs([one.ratio[p] for one in others])) for p in PARTS}
    return lambda one, part: found[part]


def _by_doubt(others: list[Seen]) -> Band:
    found = {p: _upper(np.abs([one.ratio[p] / one.doubt[p] for one in others])) for p in PARTS}
    return lambda one, part: found[part] * one.doubt[part]


def _upper(sizes: np.ndarray) -> float:
    """The conformal quantile of a few."""
    rank = min(len(sizes), int(np.ceil((len(sizes) + 1) * _COVERED)))
    return float(np.sort(sizes)[rank - 1])


def _shipped(edge_mm: float) -> Repeatability | None:
    model = load_model(Settings.from_environment().model_dir)
    alike = [r for r in measured_for(model.sha256) if abs(r.edge_mm - edge_mm) < 0.2]
    return alike[0] if alike else None


def figures(judged: list[Seen], limits: Band) -> dict[str, Any]:
    """What a way with a band says of the sides that are judged."""
    found: dict[str, Any] = {}
    by_kind = {kind: [one for one in judged if one.kind == kind] for kind in _KINDS}
    same = by_kind[SAME]
    pairs = {one.pair for one in same}
    apart = {one.pair for one in same if abs(one.ratio["total"]) > limits(one, "total")}
    found["pairs unchanged"] = f"{len(pairs - apart)}/{len(pairs)}"
    for part in PARTS:
        within = [abs(one.ratio[part]) <= limits(one, part) for one in same]
        lost = np.log(SMALLER["-3"])
        held = [abs(one.ratio[part] - lost) <= limits(one, part) for one in by_kind["-3"]]
        found[part] = {
            "unchanged": f"{sum(within)}/{len(within)}", "held": f"{sum(held)}/{len(held)}",
            "width_percent": round(
                100 * float(np.expm1(np.median([limits(one, part) for one in same]))), 1
            ),
            "smaller": {
                kind: f"{sum(one.ratio[part] < -limits(one, part) for one in ones)}/{len(ones)}"
                for kind, ones in by_kind.items() if kind != SAME
            },
            "found_percent": {
                kind: round(100 * float(np.expm1(np.mean([one.ratio[part] for one in ones]))), 2)
                for kind, ones in by_kind.items() if ones
            },
        }  # fmt: skip
    return found


def _six(row: Row, side: str, part: str) -> float:
    more = [crop[part] for crop in row["more_crops"][side] if crop]
    return (2 * row["volumes"][side][part] + sum(more)) / (2 + len(more))


def _doubt(row: Row, side: str, part: str) -> float:
    """How far the mirrored predictions of a part disagree: what is missing to a Dice of 1."""
    return float(np.exp(row["signals"][side][f"discord_{'whole' if part == 'total' else part}"]))


def _ratios(
    first: list[dict[str, float]], last: list[dict[str, float]], kind: str = ""
) -> dict[str, float]:
    return {
        p: float(np.log(sum(c[kind + p] for c in last) / sum(c[kind + p] for c in first)))
        for p in PARTS
    }


def _percent(shares: dict[str, float]) -> str:
    return ", ".join(f"{part} {100 * share:.2f} %" for part, share in shares.items())


if __name__ == "__main__":
    sys.exit(main())
