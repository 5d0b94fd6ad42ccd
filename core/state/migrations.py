"""The numbered steps that make a database and bring an older one up to date.

Each is literal: the SQL of the day on which it was released, whatever `core.state.tables` says
today. Never edit one that was released: add another, and the tables' new form to that module.
Not by Alembic: installations have numbered their steps in the table ``migrations`` from the first
day, and a step and its number must be committed together. A new step is written twice, for SQLite
in `core.state.later_steps`, and for PostgreSQL in `core.state.postgresql_steps`.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection

from core.state.later_steps import STEPS
from core.state.postgresql_steps import steps_after
from core.state.private import POSTGRESQL

# SQL, or a function where the step has to look at what is there.
_Part = str | Callable[[Connection], None]


def bring_up_to_date(connection: Connection) -> None:
    """Take the steps that a database lacks.

    Parameters
    ----------
    connection
        One that writes: the steps, and the record that they were taken, are committed with it.
    """
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL, PRIMARY KEY (number))"
    )
    taken = set(connection.exec_driver_sql("SELECT number FROM migrations").scalars())
    is_postgresql = connection.dialect.name == POSTGRESQL
    for number, parts in (steps_after(_STEPS) if is_postgresql else _STEPS).items():
        if number in taken:
            continue
        for part in parts:
            if isinstance(part, str):
                connection.exec_driver_sql(part)
            else:
                part(connection)
        connection.exec_driver_sql(f"INSERT INTO migrations (number) VALUES ({number})")  # noqa: S608


def _restarts_of_jobs(connection: Connection) -> None:
    """The first program with trainings had no such column; the next one added it in step 1."""
    columns = connection.exec_driver_sql("SELECT name FROM pragma_table_info('jobs')").scalars()
    if "restarts" not in columns.all():
        connection.exec_driver_sql(
            "ALTER TABLE jobs ADD COLUMN restarts INTEGER DEFAULT 0 NOT NULL"
        )


def _one_list_of_promotions(connection: Connection) -> None:
    """What ``versions.stage`` said, told by ``promotions`` alone: its last row serves."""
    rows = connection.exec_driver_sql(
        "SELECT number, stage, created_at FROM versions ORDER BY number"
    ).all()
    query = "SELECT at, number, action FROM promotions ORDER BY id"
    promotions = connection.exec_driver_sql(query).all()
    listed = {row.number for row in promotions}
    early = [
        (row.created_at, row.number, "adopted")
        for row in rows if row.stage == "retired" and row.number not in listed
    ]  # fmt: skip
    serving = [row.number for row in rows if row.stage == "serving"][-1:]
    late = []
    if serving and (not promotions or promotions[-1].number != serving[0]):
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        late = [(now, serving[0], "adopted")]
    connection.exec_driver_sql("DELETE FROM promotions")
    for identifier, row in enumerate([*early, *promotions, *late], start=1):
        connection.exec_driver_sql(
            "INSERT INTO promotions (id, at, number, action) VALUES (?, ?, ?, ?)",
            (identifier, *row),
        )


_STEPS: dict[int, tuple[_Part, ...]] = {
    # Cases.
    0: (
        """CREATE TABLE cases (
            id VARCHAR(16) NOT NULL,
            name VARCHAR NOT NULL,
            created_at VARCHAR(32) NOT NULL,
            deleted_at VARCHAR(32),
            model_version VARCHAR NOT NULL,
            anterior_mm3 FLOAT NOT NULL,
            posterior_mm3 FLOAT NOT NULL,
            warning_count INTEGER NOT NULL,
            report TEXT NOT NULL,
            PRIMARY KEY (id)
        )""",
        "CREATE INDEX ix_cases_created_at ON cases (created_at)",
    ),
    # The administrator's side: model versions, trainings, accounts, drift.
    1: (
        """CREATE TABLE features (
            case_id VARCHAR(16) NOT NULL,
            content TEXT NOT NULL,
            PRIMARY KEY (case_id),
            FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
        )""",
        """CREATE TABLE versions (
            number INTEGER NOT NULL,
            stage VARCHAR(16) NOT NULL,
            created_at VARCHAR(32) NOT NULL,
            sha256 VARCHAR(64) NOT NULL,
            card_sha256 VARCHAR(64) NOT NULL,
            card TEXT NOT NULL,
            metrics TEXT NOT NULL,
            lineage TEXT NOT NULL,
            PRIMARY KEY (number)
        )""",
        """CREATE TABLE promotions (
            id INTEGER NOT NULL,
            at VARCHAR(32) NOT NULL,
            number INTEGER NOT NULL,
            action VARCHAR(16) NOT NULL,
            PRIMARY KEY (id),
            FOREIGN KEY(number) REFERENCES versions (number)
        )""",
        """CREATE TABLE jobs (
            id INTEGER NOT NULL,
            state VARCHAR(16) NOT NULL,
            created_at VARCHAR(32) NOT NULL,
            started_at VARCHAR(32),
            ended_at VARCHAR(32),
            heartbeat_at VARCHAR(32),
            host VARCHAR,
            pid INTEGER,
            pid_started FLOAT,
            spec TEXT NOT NULL,
            phase VARCHAR NOT NULL,
            message TEXT NOT NULL,
            version INTEGER,
            restarts INTEGER NOT NULL,
            PRIMARY KEY (id)
        )""",
        "CREATE INDEX ix_jobs_state ON jobs (state)",
        """CREATE TABLE epochs (
            job_id INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            at VARCHAR(32) NOT NULL,
            train_loss FLOAT NOT NULL,
            val_loss FLOAT NOT NULL,
            dice_anterior FLOAT NOT NULL,
            dice_posterior FLOAT NOT NULL,
            seconds FLOAT NOT NULL,
            checkpoint_sha256 VARCHAR(64) NOT NULL,
            PRIMARY KEY (job_id, epoch),
            FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
        )""",
        """CREATE TABLE accounts (
            name VARCHAR NOT NULL,
            password_hash VARCHAR NOT NULL,
            PRIMARY KEY (name)
        )""",
        """CREATE TABLE sessions (
            token_sha256 VARCHAR(64) NOT NULL,
            account VARCHAR NOT NULL,
            expires_at VARCHAR(32) NOT NULL,
            PRIMARY KEY (token_sha256),
            FOREIGN KEY(account) REFERENCES accounts (name) ON DELETE CASCADE
        )""",
        """CREATE TABLE wrong_passwords (
            id INTEGER NOT NULL,
            at VARCHAR(32) NOT NULL,
            PRIMARY KEY (id)
        )""",
        "CREATE INDEX ix_wrong_passwords_at ON wrong_passwords (at)",
    ),
    # Masks that people draw, and their reviews.
    2: (
        "ALTER TABLE cases ADD COLUMN mask_version INTEGER DEFAULT '0' NOT NULL",
        "ALTER TABLE cases ADD COLUMN review VARCHAR(16) DEFAULT 'new' NOT NULL",
        "ALTER TABLE cases ADD COLUMN reviewer VARCHAR DEFAULT '' NOT NULL",
        "ALTER TABLE cases ADD COLUMN reviewed_at VARCHAR(32)",
        "ALTER TABLE cases ADD COLUMN reason TEXT DEFAULT '' NOT NULL",
        """CREATE TABLE mask_versions (
            case_id VARCHAR(16) NOT NULL,
            number INTEGER NOT NULL,
            created_at VARCHAR(32) NOT NULL,
            author VARCHAR NOT NULL,
            comment TEXT NOT NULL,
            content TEXT NOT NULL,
            PRIMARY KEY (case_id, number),
            FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
        )""",
        # The first programs wrote VARCHAR(64) for visitor. SQLite heeds no length, so that
        # nothing had to be altered when it became 96.
        """CREATE TABLE drafts (
            case_id VARCHAR(16) NOT NULL,
            visitor VARCHAR(96) NOT NULL,
            base INTEGER NOT NULL,
            at VARCHAR(32) NOT NULL,
            labels BLOB NOT NULL,
            PRIMARY KEY (case_id, visitor),
            FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
        )""",
    ),
    # How far the masks of a head can be trusted.
    3: ("ALTER TABLE cases ADD COLUMN confidence VARCHAR(16) DEFAULT '' NOT NULL",),
    # Acts on a case are counted; of row and record in the storage the higher count holds.
    4: (
        "ALTER TABLE cases ADD COLUMN revision INTEGER DEFAULT '0' NOT NULL",
        "ALTER TABLE mask_versions ADD COLUMN token VARCHAR(16) DEFAULT '' NOT NULL",
    ),
    # One list says what serves; jobs have a name that outlives the database.
    5: (
        "ALTER TABLE versions ADD COLUMN record_behind INTEGER DEFAULT '0' NOT NULL",
        _restarts_of_jobs,
        "ALTER TABLE jobs ADD COLUMN uid VARCHAR(32) DEFAULT '' NOT NULL",
        "ALTER TABLE jobs ADD COLUMN attempt INTEGER DEFAULT '0' NOT NULL",
        """CREATE TABLE registrations (
            number INTEGER NOT NULL,
            token VARCHAR(32) NOT NULL,
            at VARCHAR(32) NOT NULL,
            host VARCHAR NOT NULL,
            pid INTEGER NOT NULL,
            pid_started FLOAT NOT NULL,
            given_up INTEGER DEFAULT '0' NOT NULL,
            PRIMARY KEY (number)
        )""",
        # They are counted in memory.
        "DROP TABLE wrong_passwords",
        # A job from before keeps its folder, which is named by its number.
        "UPDATE jobs SET uid = CAST(id AS TEXT)",
        _one_list_of_promotions,
        "ALTER TABLE versions DROP COLUMN stage",
        # Their records in the storage name a stage: they are written again at the next start.
        "UPDATE versions SET record_behind = 1",
    ),
    # Why the volumes of a case come out too small.
    6: ("ALTER TABLE cases ADD COLUMN too_small VARCHAR DEFAULT '' NOT NULL",),
    # 7 was taken by a program that was never released.
    # The patient of a case.
    8: ("ALTER TABLE cases ADD COLUMN patient VARCHAR DEFAULT '' NOT NULL",),
    # Who put a version into service, and why although the gate stood against it.
    9: (
        "ALTER TABLE promotions ADD COLUMN \"by\" VARCHAR DEFAULT '' NOT NULL",
        "ALTER TABLE promotions ADD COLUMN reason TEXT DEFAULT '' NOT NULL",
        "ALTER TABLE promotions ADD COLUMN objections TEXT DEFAULT '[]' NOT NULL",
    ),
    # A shadow's figures, rules for trainings, and which of them asked for a training.
    11: (
        """CREATE TABLE choices (
            name VARCHAR(16) NOT NULL,
            content TEXT NOT NULL,
            PRIMARY KEY (name)
        )""",
        """CREATE TABLE shadows (
            id INTEGER NOT NULL,
            at VARCHAR(32) NOT NULL,
            version INTEGER NOT NULL,
            shadow INTEGER NOT NULL,
            scan VARCHAR(32) NOT NULL,
            kind VARCHAR(8) NOT NULL,
            side VARCHAR(8) NOT NULL,
            case_id VARCHAR(16),
            dice FLOAT,
            dice_anterior FLOAT,
            dice_posterior FLOAT,
            anterior_mm3 FLOAT NOT NULL,
            posterior_mm3 FLOAT NOT NULL,
            shadow_anterior_mm3 FLOAT NOT NULL,
            shadow_posterior_mm3 FLOAT NOT NULL,
            seconds FLOAT NOT NULL,
            shadow_seconds FLOAT NOT NULL,
            PRIMARY KEY (id),
            FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
        )""",
        "CREATE INDEX ix_shadows_shadow ON shadows (shadow)",
        "CREATE INDEX ix_shadows_case_id ON shadows (case_id)",
        "ALTER TABLE jobs ADD COLUMN rule VARCHAR(16) DEFAULT '' NOT NULL",
        "ALTER TABLE jobs ADD COLUMN reason TEXT DEFAULT '' NOT NULL",
    ),
    # Date of a scan, sex and age of its patient, where a person typed them.
    12: (
        "ALTER TABLE cases ADD COLUMN scan_date VARCHAR(10) DEFAULT '' NOT NULL",
        "ALTER TABLE cases ADD COLUMN sex VARCHAR(1) DEFAULT '' NOT NULL",
        "ALTER TABLE cases ADD COLUMN age_years INTEGER",
    ),
    # People with roles and groups in place of the administrator's one password, which is asked for
    # again: HIPPOVIEW_ADMIN_PASSWORD makes the first of them.
    13: (
        "DROP TABLE sessions",
        "DROP TABLE accounts",
        """CREATE TABLE people (
            id VARCHAR(16) NOT NULL,
            name VARCHAR NOT NULL,
            name_key VARCHAR NOT NULL,
            role VARCHAR(16) NOT NULL,
            "groups" VARCHAR DEFAULT '' NOT NULL,
            password_hash VARCHAR DEFAULT '' NOT NULL,
            is_active INTEGER DEFAULT '1' NOT NULL,
            created_at VARCHAR(32) NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (name_key)
        )""",
        """CREATE TABLE sign_ins (
            token_sha256 VARCHAR(64) NOT NULL,
            account VARCHAR(16) NOT NULL,
            began_at VARCHAR(32) NOT NULL,
            seen_at VARCHAR(32) NOT NULL,
            expires_at VARCHAR(32) NOT NULL,
            address VARCHAR DEFAULT '' NOT NULL,
            PRIMARY KEY (token_sha256),
            FOREIGN KEY(account) REFERENCES people (id) ON DELETE CASCADE
        )""",
        """CREATE TABLE tokens (
            id VARCHAR(16) NOT NULL,
            token_sha256 VARCHAR(64) NOT NULL,
            account VARCHAR(16) NOT NULL,
            label VARCHAR DEFAULT '' NOT NULL,
            scopes VARCHAR NOT NULL,
            created_at VARCHAR(32) NOT NULL,
            expires_at VARCHAR(32) NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (token_sha256),
            FOREIGN KEY(account) REFERENCES people (id) ON DELETE CASCADE
        )""",
        """CREATE TABLE codes (
            code_sha256 VARCHAR(64) NOT NULL,
            account VARCHAR(16),
            expires_at VARCHAR(32) NOT NULL,
            PRIMARY KEY (code_sha256),
            FOREIGN KEY(account) REFERENCES people (id) ON DELETE CASCADE
        )""",
        "ALTER TABLE cases ADD COLUMN owners VARCHAR DEFAULT '' NOT NULL",
    ),
    # The trail: who did what.
    14: (
        """CREATE TABLE trail (
            number INTEGER NOT NULL,
            at VARCHAR(32) NOT NULL,
            act VARCHAR(16) NOT NULL,
            what VARCHAR(64) NOT NULL,
            who VARCHAR(64) NOT NULL,
            name VARCHAR(128) NOT NULL,
            role VARCHAR(16) NOT NULL,
            address VARCHAR(64) NOT NULL,
            before VARCHAR(64) NOT NULL,
            after VARCHAR(64) NOT NULL,
            note VARCHAR(256) NOT NULL,
            chain VARCHAR(64) NOT NULL,
            PRIMARY KEY (number)
        )""",
        """CREATE TRIGGER trail_keeps_its_lines BEFORE DELETE ON trail
            BEGIN SELECT RAISE(ABORT, 'the trail keeps its lines'); END""",
        """CREATE TRIGGER trail_changes_no_line BEFORE UPDATE ON trail
            BEGIN SELECT RAISE(ABORT, 'the trail changes no line'); END""",
    ),
    # Drift from scan to scan.
    15: (
        """CREATE TABLE drift_chains (
            id INTEGER NOT NULL,
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
            UNIQUE (kind, promotion, reference, run_length)
        )""",
        """CREATE TABLE drift_steps (
            id INTEGER NOT NULL,
            chain INTEGER NOT NULL,
            number INTEGER NOT NULL,
            case_id VARCHAR(16),
            at VARCHAR(32) NOT NULL,
            scores TEXT NOT NULL,
            level FLOAT NOT NULL,
            severity VARCHAR(16) NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (chain, number),
            UNIQUE (chain, case_id),
            FOREIGN KEY(chain) REFERENCES drift_chains (id) ON DELETE CASCADE,
            FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE SET NULL
        )""",
        "CREATE INDEX ix_drift_steps_case_id ON drift_steps (case_id)",
    ),
    # Which keys it takes to read what is encrypted here.
    16: (
        """CREATE TABLE encryption_keys (
            id VARCHAR(16) NOT NULL,
            PRIMARY KEY (id)
        )""",
    ),
    **STEPS,
}
