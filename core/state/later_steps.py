"""Steps of `core.state.migrations` from 16 on."""

import core.state.worker_tables  # noqa: F401 - with it `core.state.tables.METADATA` has all tables

STEPS: dict[int, tuple[str, ...]] = {
    # Features of what the API is sent, where they are kept.
    17: (
        """CREATE TABLE api_scans (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            at VARCHAR(32) NOT NULL,
            kind VARCHAR(8) NOT NULL,
            content TEXT NOT NULL
        )""",
        "CREATE INDEX ix_api_scans_at ON api_scans (at)",
        "ALTER TABLE drift_chains ADD COLUMN api_taken INTEGER DEFAULT '0' NOT NULL",
    ),
    # People who sign in with a provider of identities.
    18: (
        "ALTER TABLE people ADD COLUMN issuer VARCHAR DEFAULT '' NOT NULL",
        "ALTER TABLE people ADD COLUMN subject VARCHAR DEFAULT '' NOT NULL",
        """CREATE UNIQUE INDEX ix_people_issuer_subject ON people (issuer, subject)
            WHERE issuer != ''""",
    ),
    # What was told of drift, messages about it, and the drift of other sites.
    19: (
        """CREATE TABLE drift_told (
            kind VARCHAR(8) NOT NULL,
            promotion INTEGER NOT NULL,
            severity VARCHAR(16) NOT NULL,
            at VARCHAR(32) NOT NULL,
            PRIMARY KEY (kind)
        )""",
        """CREATE TABLE drift_notices (
            id INTEGER NOT NULL,
            "key" VARCHAR(32) NOT NULL,
            channel VARCHAR(16) NOT NULL,
            at VARCHAR(32) NOT NULL,
            content TEXT NOT NULL,
            tries INTEGER DEFAULT '0' NOT NULL,
            due_at VARCHAR(32) NOT NULL,
            sent_at VARCHAR(32) DEFAULT '' NOT NULL,
            PRIMARY KEY (id),
            UNIQUE ("key", channel)
        )""",
        """CREATE TABLE site_chains (
            id INTEGER NOT NULL,
            site VARCHAR(32) NOT NULL,
            kind VARCHAR(8) NOT NULL,
            promotion INTEGER NOT NULL,
            reference VARCHAR(64) NOT NULL,
            run_length INTEGER NOT NULL,
            version INTEGER NOT NULL,
            began_at VARCHAR(32) NOT NULL,
            thresholds TEXT NOT NULL,
            sums TEXT NOT NULL,
            scans INTEGER NOT NULL,
            severity VARCHAR(16) NOT NULL,
            since VARCHAR(32) NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (site, kind, promotion, reference, run_length)
        )""",
        """CREATE TABLE site_steps (
            id INTEGER NOT NULL,
            chain INTEGER NOT NULL,
            number INTEGER NOT NULL,
            scan VARCHAR(64) NOT NULL,
            at VARCHAR(32) NOT NULL,
            scores TEXT NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (chain, number),
            UNIQUE (chain, scan),
            FOREIGN KEY(chain) REFERENCES site_chains (id) ON DELETE CASCADE
        )""",
    ),
    # Trainings by workers, on this machine or another.
    21: (
        "ALTER TABLE jobs ADD COLUMN worker VARCHAR(32) DEFAULT '' NOT NULL",
        """CREATE TABLE workers (
            id VARCHAR(32) NOT NULL,
            host VARCHAR NOT NULL,
            started_at VARCHAR(32) NOT NULL,
            seen_at VARCHAR(32) NOT NULL,
            job_id INTEGER,
            PRIMARY KEY (id)
        )""",
        """CREATE TABLE job_logs (
            job_id INTEGER NOT NULL,
            content TEXT NOT NULL,
            PRIMARY KEY (job_id),
            FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        )""",
    ),
    # The volume of each side of a head, for lists; `core.cases.records.refresh_words` fills them.
    25: (
        "ALTER TABLE cases ADD COLUMN left_mm3 FLOAT",
        "ALTER TABLE cases ADD COLUMN right_mm3 FLOAT",
    ),
}
