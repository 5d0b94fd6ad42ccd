"""How often a single crop is told to be unlike all that is known: unchanged, and changed.

``python -m benchmarks.drift_single CROPS [--draws 200] [--cache FILE]``; see
`benchmarks.drift_delay` for both. Of each draw the limit is set by four of five persons, and the
crops of the others are judged.
"""

import numpy as np

from benchmarks.drift_delay import FEATURES, features_of_options, options_of
from core.drift.unlike import Span

_RNG = np.random.default_rng(0)


def main() -> None:
    """Print the limit and the shares."""
    options = options_of(__doc__, draws=200)
    features = features_of_options(options)
    plain = features["none"]
    span = Span(plain, FEATURES, 2)
    print(f"limit {span.limit_sd:.2f} SD; told {span.told} of {span.scans}, held out by person")
    persons, told = len(plain) // 2, []
    for _ in range(options.draws):
        order = _RNG.permutation(persons)
        known, others = order[: 4 * persons // 5], order[4 * persons // 5 :]
        of_known = Span([plain[2 * i + j] for i in known for j in (0, 1)], FEATURES, 2)
        told += [bool(of_known.beyond(plain[2 * i + j])) for i in others for j in (0, 1)]
    print(f"of persons that set no limit {np.mean(told):.1%} of {len(told):,} are told")
    for name, changed in features.items():
        print(f"{name:<16}{np.mean([bool(span.beyond(values)) for values in changed]):>8.1%}")


if __name__ == "__main__":
    main()
