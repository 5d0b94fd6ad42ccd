"""The tables as they are now: what queries are written with.

`core.state.migrations` makes them; a change here needs a step there, and a test compares the two.
"""

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from core.state.private import PrivateBytes, PrivateText
from core.state.whole_numbers import Integer

METADATA = MetaData()

# Which of the steps of `core.state.migrations` were taken.
MIGRATIONS = Table("migrations", METADATA, Column("number", Integer, primary_key=True))

CASES = Table(
    "cases",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", PrivateText("cases.name"), nullable=False),
    Column("created_at", String(32), nullable=False, index=True),
    Column("deleted_at", String(32)),
    Column("model_version", String, nullable=False),
    Column("anterior_mm3", Float, nullable=False),
    Column("posterior_mm3", Float, nullable=False),
    Column("warning_count", Integer, nullable=False),
    Column("report", Text, nullable=False),
    # The mask that holds now: 0 is the model's own, see MASK_VERSIONS.
    Column("mask_version", Integer, nullable=False, server_default="0"),
    Column("review", String(16), nullable=False, server_default="new"),
    Column("reviewer", String, nullable=False, server_default=""),
    Column("reviewed_at", String(32)),
    Column("reason", PrivateText("cases.reason", Text), nullable=False, server_default=""),
    # Of a head, how far the masks that hold now can be trusted; empty for a crop.
    Column("confidence", String(16), nullable=False, server_default=""),
    # Counts the acts on a case; of row and record in the storage the higher one holds.
    Column("revision", Integer, nullable=False, server_default="0"),
    # Why the volumes come out too small, where something speaks for it.
    Column("too_small", String, nullable=False, server_default=""),
    # A pseudonym; cases of one patient are on one side of every split.
    Column("patient", PrivateText("cases.patient"), nullable=False, server_default=""),
    # What a person typed of the scan's day and the patient then; it wins over the DICOM file's.
    Column("scan_date", String(10), nullable=False, server_default=""),
    Column("sex", String(1), nullable=False, server_default=""),
    Column("age_years", Integer),
    # The groups that see it, as `core.people.roles.groups_text` writes them.
    Column("owners", String, nullable=False, server_default=""),
    *(Column(f"{side}_mm3", Float) for side in ("left", "right")),  # of a head's sides
)

# Masks that people drew, from 1 for each case; the files lie in the storage. ``content`` is JSON.
MASK_VERSIONS = Table(
    "mask_versions",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("author", String, nullable=False),
    Column("comment", PrivateText("mask_versions.comment", Text), nullable=False),
    Column("content", Text, nullable=False),
    # Part of the file's name: `core.cases.records.mask_key`.
    Column("token", String(16), nullable=False, server_default=""),
)

# What a browser drew and did not save yet: labels in RAS+, gzip, and the version under it.
DRAFTS = Table(
    "drafts",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("visitor", String(96), primary_key=True),
    Column("base", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    Column("labels", PrivateBytes("drafts.labels"), nullable=False),
)

# Keys without which something in this database cannot be read: see `core.state.encryption`.
ENCRYPTION_KEYS = Table(
    "encryption_keys",
    METADATA,
    Column("id", String(16), primary_key=True),
)

# Features of a case's scan for the drift report: one JSON object.
FEATURES = Table(
    "features",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("content", Text, nullable=False),
)

# Model versions. ``metrics`` and ``lineage`` are JSON; the files lie in the storage. Which one
# serves, and which did, is said by PROMOTIONS alone.
VERSIONS = Table(
    "versions",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("created_at", String(32), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("card_sha256", String(64), nullable=False),
    Column("card", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("lineage", Text, nullable=False),
    # Whether the record of this row in the storage has still to be written.
    Column("record_behind", Integer, nullable=False, server_default="0"),
)

# Versions that are being registered, and by which process: what a killed one left is found here.
REGISTRATIONS = Table(
    "registrations",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("token", String(32), nullable=False),
    Column("at", String(32), nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Float, nullable=False),
    Column("given_up", Integer, nullable=False, server_default="0"),
)

# What was put into service when: a row for each promotion and each roll back, from 1 without a
# gap. The newest serves. It follows the storage's own list: see `core.models.service_log`.
PROMOTIONS = Table(
    "promotions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("number", ForeignKey("versions.number"), nullable=False),
    Column("action", String(16), nullable=False),
    Column("by", String, nullable=False, server_default=""),
    # Why it was promoted all the same, and what the gate had against it: a JSON list of texts.
    Column("reason", Text, nullable=False, server_default=""),
    Column("objections", Text, nullable=False, server_default="[]"),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("created_at", String(32), nullable=False),
    Column("started_at", String(32)),
    Column("ended_at", String(32)),
    Column("heartbeat_at", String(32)),
    Column("host", String),
    Column("pid", Integer),
    Column("pid_started", Float),
    Column("spec", Text, nullable=False),
    Column("phase", String, nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("version", Integer),
    Column("restarts", Integer, nullable=False, default=0),
    # ``uid``: its name for all time; ``id`` begins at 1 again when the database is lost.
    Column("uid", String(32), nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False, server_default="0"),  # counts its starts, and fences
    # Of `core.training.rules`: which rule asked for it and why; empty where a person did.
    Column("rule", String(16), nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("worker", String(32), nullable=False, server_default=""),  # empty: a server's own child
)

# One finished epoch of a training, and the checkpoint that it left.
EPOCHS = Table(
    "epochs",
    METADATA,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("train_loss", Float, nullable=False),
    Column("val_loss", Float, nullable=False),
    Column("dice_anterior", Float, nullable=False),
    Column("dice_posterior", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("checkpoint_sha256", String(64), nullable=False),
)

# People and services. ``groups`` is as `core.people.roles.groups_text` writes it; a service, and
# somebody who has not chosen a password yet, has no ``password_hash``.
ACCOUNTS = Table(
    "people",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", String, nullable=False),
    # The name in the form in which no two are the same.
    Column("name_key", String, nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("groups", String, nullable=False, server_default=""),
    Column("password_hash", String, nullable=False, server_default=""),
    Column("is_active", Integer, nullable=False, server_default="1"),
    Column("created_at", String(32), nullable=False),
    # Of somebody who signs in with a provider (`core.people.provider`), else both are empty.
    Column("issuer", String, nullable=False, server_default=""),
    Column("subject", String, nullable=False, server_default=""),
)
Index(
    "ix_people_issuer_subject", ACCOUNTS.c.issuer, ACCOUNTS.c.subject, unique=True,
    sqlite_where=ACCOUNTS.c.issuer != "", postgresql_where=ACCOUNTS.c.issuer != "",
)  # fmt: skip

# Who is signed in. The token itself is only in the browser.
SESSIONS = Table(
    "sign_ins",
    METADATA,
    Column("token_sha256", String(64), primary_key=True),
    Column("account", ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("began_at", String(32), nullable=False),
    Column("seen_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
    Column("address", String, nullable=False, server_default=""),
)

# What services sign in with. The token itself was shown once.
TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("account", ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("label", String, nullable=False, server_default=""),
    Column("scopes", String, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
)

# Codes that may be used once: for the first administrator (``account`` is empty), or for somebody's
# new password.
CODES = Table(
    "codes",
    METADATA,
    Column("code_sha256", String(64), primary_key=True),
    Column("account", ForeignKey("people.id", ondelete="CASCADE")),
    Column("expires_at", String(32), nullable=False),
)

# What an administrator chose for the whole installation: a JSON object by name.
CHOICES = Table(
    "choices", METADATA, Column("name", String(16), primary_key=True),
    Column("content", Text, nullable=False),
)  # fmt: skip

# A version beside the one in service on one scan: a row for a crop, and for each side of a head.
# ``scan`` is the same for both sides; ``case_id`` is empty where the scan was not kept. Of a head
# the seconds are those of the whole scan.
SHADOWS = Table(
    "shadows",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("version", Integer, nullable=False),
    Column("shadow", Integer, nullable=False, index=True),
    Column("scan", String(32), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("side", String(8), nullable=False),
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), index=True),
    Column("dice", Float),
    Column("dice_anterior", Float),
    Column("dice_posterior", Float),
    Column("anterior_mm3", Float, nullable=False),
    Column("posterior_mm3", Float, nullable=False),
    Column("shadow_anterior_mm3", Float, nullable=False),
    Column("shadow_posterior_mm3", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("shadow_seconds", Float, nullable=False),
)

# Who did what: a chain of lines (`core.people.audit`), from 1 without a gap. Triggers refuse to
# change or remove one; ``chain`` is a hash of the line and of the chain before it.
TRAIL = Table(
    "trail",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("at", String(32), nullable=False),
    Column("act", String(16), nullable=False),
    Column("what", String(64), nullable=False),
    Column("who", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("before", String(64), nullable=False),
    Column("after", String(64), nullable=False),
    Column("note", String(256), nullable=False),
    Column("chain", String(64), nullable=False),
)

# Drift from scan to scan (`core.drift.chains`): a chain for each kind of scans, what they are
# compared with, and the promotion that it began with. ``thresholds`` and ``sums`` are JSON.
DRIFT_CHAINS = Table(
    "drift_chains",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("promotion", Integer, nullable=False),
    Column("reference", String(64), nullable=False),
    Column("run_length", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("began_at", String(32), nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("sums", Text, nullable=False),
    Column("scans", Integer, nullable=False),
    Column("severity", String(16), nullable=False),
    # When the state began; empty for the first.
    Column("since", String(32), nullable=False),
    # The newest row of API_SCANS that was counted.
    Column("api_taken", Integer, nullable=False, server_default="0"),
    UniqueConstraint("kind", "promotion", "reference", "run_length"),
)

# What each scan added to a chain: ``scores`` is JSON, and empty for one that was counted before.
# A case that is removed leaves its row, without its id.
DRIFT_STEPS = Table(
    "drift_steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("chain", ForeignKey("drift_chains.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("case_id", ForeignKey("cases.id", ondelete="SET NULL"), index=True),
    Column("at", String(32), nullable=False),
    Column("scores", Text, nullable=False),
    Column("level", Float, nullable=False),
    Column("severity", String(16), nullable=False),
    UniqueConstraint("chain", "number"),
    UniqueConstraint("chain", "case_id"),
)

# Drift features of what the API was sent, where the setting keeps those alone (JSON). No id comes
# twice: chains know by it what they have counted.
API_SCANS = Table(
    "api_scans", METADATA, Column("id", Integer, primary_key=True),
    Column("at", String(32), nullable=False, index=True),
    Column("kind", String(8), nullable=False), Column("content", Text, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip

# What was told last of the drift of crops and of heads (`core.drift.notices`).
DRIFT_TOLD = Table(
    "drift_told",
    METADATA,
    Column("kind", String(8), primary_key=True),
    Column("promotion", Integer, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("at", String(32), nullable=False),
)

# Messages about a change of the drift's state, one a channel: written with what was told, and sent
# afterwards. ``content`` is JSON; ``sent_at`` is empty until it was taken.
DRIFT_NOTICES = Table(
    "drift_notices",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String(32), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("at", String(32), nullable=False),
    Column("content", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("due_at", String(32), nullable=False),
    Column("sent_at", String(32), nullable=False, server_default=""),
    UniqueConstraint("key", "channel"),
)

# Drift of other sites (`core.drift.sites`), as DRIFT_CHAINS and DRIFT_STEPS have that of the cases.
# ``scan`` is a hash of the features: one scan counts once.
SITE_CHAINS = Table(
    "site_chains",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("site", String(32), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("promotion", Integer, nullable=False),
    Column("reference", String(64), nullable=False),
    Column("run_length", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("began_at", String(32), nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("sums", Text, nullable=False),
    Column("scans", Integer, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("since", String(32), nullable=False),
    UniqueConstraint("site", "kind", "promotion", "reference", "run_length"),
)
SITE_STEPS = Table(
    "site_steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("chain", ForeignKey("site_chains.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("scan", String(64), nullable=False),
    Column("at", String(32), nullable=False),
    Column("scores", Text, nullable=False),
    UniqueConstraint("chain", "number"),
    UniqueConstraint("chain", "scan"),
)
