"""How far each feature of the newest scans of a chain is from the reference, for monitoring."""

import json
from statistics import median

from sqlalchemy import ColumnElement, Engine, select

from core.drift.chains import Chain
from core.drift.kinds import followed
from core.state.database import reading
from core.state.tables import DRIFT_CHAINS, DRIFT_STEPS

NEWEST = 20


def effects_of(engine: Engine, chain: Chain) -> dict[str, float]:
    """Median distance of the newest scans from the reference's median, by feature.

    Parameters
    ----------
    chain
        Of `core.drift.watch.DriftWatch`.

    Returns
    -------
    dict of str to float
        In the reference's standard deviations; without features that none of the scans has.
    """
    query = (
        select(DRIFT_STEPS.c.scores)
        .join(DRIFT_CHAINS, DRIFT_CHAINS.c.id == DRIFT_STEPS.c.chain)
        .where(is_row_of(chain))
        .order_by(DRIFT_STEPS.c.chain.desc(), DRIFT_STEPS.c.number.desc())
        .limit(NEWEST)
    )  # fmt: skip
    with reading(engine) as connection:
        scans = [json.loads(scores) for scores in connection.scalars(query)]
    away = {
        f.key: [scan[f.key][1] for scan in scans if f.key in scan] for f in followed(chain.kind)
    }
    return {key: median(values) for key, values in away.items() if values}


def is_row_of(chain: Chain) -> ColumnElement[bool]:
    """Whether a row of the chains is this one's."""
    return (
        (DRIFT_CHAINS.c.kind == chain.kind)
        & (DRIFT_CHAINS.c.version == chain.version)
        & (DRIFT_CHAINS.c.run_length == chain.run_length)
        & (DRIFT_CHAINS.c.began_at == chain.began_at)
    )
