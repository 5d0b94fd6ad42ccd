"""The services that all pages and API calls of the process share."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from loguru import logger

from app import metrics
from app.example import example_features
from app.outside import Outside
from app.viewer.files import ViewerFiles
from core.cases.case import Case
from core.cases.corrections import Corrections, MaskVersion
from core.cases.lines import Lines
from core.cases.origins import Origins, installation_key
from core.cases.store import Cases
from core.drift.collection import Collection
from core.drift.watch import DriftWatch
from core.errors import (
    BusyError,
    ConflictError,
    GoneError,
    HippoViewError,
    InputError,
    ModelError,
    SettingsError,
)
from core.image.intake import Source, vetted
from core.image.volume import load
from core.limits import MIB
from core.models.registry import Registry
from core.models.service_log import Note
from core.people import audit
from core.people.accounts import Accounts
from core.people.audit_archive import Archive
from core.people.kept import KeptPeople, people_at_start
from core.people.provider.configured import provider_sign_ins
from core.people.sign_ins import SignIns
from core.pipeline import Analysis, Caller, analyse
from core.predictor.predictor import InferenceOptions
from core.predictor.service import Predictors, warmed
from core.settings import Settings
from core.shadow.runner import Shadow
from core.state.database import DATABASE_NAME, connect
from core.state.encryption import Keyring
from core.state.keys import agree_on_keys
from core.state.opened import clear_unless_shared
from core.state.storage import Storage, open_storage
from core.training.data.dataset import Datasets
from core.training.data.leftovers import Leftovers
from core.training.job_folders import JobFolders
from core.training.jobs import Jobs
from core.training.rules import Rules

if TYPE_CHECKING:
    from core.people.provider.sign_ins import ProviderSignIns
    from core.training.evaluation.verdict import Verdict
    from core.training.forgetting import Receipt

# What a start takes at most, on a slow disk.
MODEL_WAIT_S = 300
# Of the files in `incoming` that wait in somebody's batch.
WAITING_PREFIX = "waiting-"
_OUTCOMES = {InputError: "refused", BusyError: "busy", GoneError: "gone"}


@dataclass(frozen=True)
class Lost:
    """How many files of batches the previous server left unfinished, and when this one started."""

    files: int
    at_s: float


@dataclass(frozen=True)
class Services:
    """The parts that make up a running HippoView."""

    settings: Settings
    predictors: Predictors
    cases: Cases
    corrections: Corrections
    storage: Storage
    registry: Registry
    jobs: Jobs
    datasets: Datasets
    accounts: Accounts
    sign_ins: SignIns
    kept_people: KeptPeople
    incoming: Path
    lost: "Lost"
    link_secret: bytes
    viewer_files: ViewerFiles
    job_folders: JobFolders
    shadow: Shadow
    rules: Rules
    archive: Archive
    leftovers: Leftovers
    drift: DriftWatch
    collection: Collection
    outside: Outside
    provider: "ProviderSignIns | None"

    def analyse(
        self, source: Source, origin: str, caller: Caller, *, device: str = "auto",
        series: str = "",
    ) -> Analysis:  # fmt: skip
        """Segment and measure one file, counted and logged (never with its name).

        Parameters
        ----------
        origin
            ``page``, ``api``, ``receiver`` or ``site``, for the metrics.
        series
            UID of the DICOM series to take, where there are several.

        Raises
        ------
        HippoViewError
        """
        analysis = self.analysed(source, origin, caller, device, series)
        if origin == "api":
            kept = self.collection.keep(analysis)
            self.shadow.offer(analysis, kept.get("case_id"))
            return replace(analysis, kept=kept)
        engine, words = self.cases.acts.engine, f"segmented for the {origin}, not kept"
        audit.record_alone(engine, "upload", note=words)
        self.shadow.offer(analysis)
        return analysis

    def analysed(
        self, source: Source, origin: str, caller: Caller, device: str = "auto", series: str = ""
    ) -> Analysis:
        """See `analyse`; it is to be kept, which writes its line and offers it to the shadow."""
        self.accounts.guard.require("segment")
        try:
            self.predictors.check()
            with self.shadow.attending():
                analysis = analyse(
                    source,
                    self.predictors.on(device),
                    self.incoming,
                    max_bytes=self.settings.max_upload_mib * MIB,
                    series=series,
                    caller=caller,
                )
        except HippoViewError as error:
            outcome = next((o for k, o in _OUTCOMES.items() if isinstance(error, k)), "failed")
            metrics.count(origin, outcome)
            logger.info("A scan from the {} was not segmented: {}", origin, error.code)
            raise
        analysis = self.drift.noted(analysis, example_features)
        metrics.count(origin, "segmented")
        metrics.time_steps(analysis.timings_s)
        metrics.record_result(analysis)
        logger.info(
            "A scan from the {} was segmented in {:.2f} s", origin, analysis.timings_s["total"]
        )
        return analysis

    def segment_and_keep(
        self, source: BinaryIO, name: str, caller: Caller, patient: str = "", series: str = "",
        *, origin: str = "page",
    ) -> Case:  # fmt: skip
        """Segment a file and store it as a case; waits for the model first.

        Parameters
        ----------
        patient
            Pseudonym of its patient, if there is one.
        series, origin
            See `analyse`.

        Raises
        ------
        HippoViewError
        """
        wait_for_model(self.predictors, MODEL_WAIT_S)
        analysis = self.analysed(source, origin, caller, series=series)
        return self.keep(analysis, name, patient)

    def keep(
        self, analysis: Analysis, name: str, patient: str = "", owners: str | None = None
    ) -> Case:
        """Keep an analysis as a case, if whoever acts still may; see `core.cases.store.Cases.add`.

        Raises
        ------
        HippoViewError
        """
        with self.sign_ins.as_now():
            case = self.cases.add(analysis, name, patient, owners)
        self.shadow.offer(analysis, case.id)
        return case

    def segment_here(
        self, case_id: str, side: str, centre_mm: Sequence[float], *, base: int, author: str,
        caller: Caller,
    ) -> MaskVersion:  # fmt: skip
        """Segment one side of a head anew, where a person points; the other stays as it is.

        Raises
        ------
        HippoViewError
        """
        self.cases.acts.admit(case_id, "correct")
        self.corrections.check_newest(case_id, base)
        self.predictors.check()
        predictor = self.predictors.on("auto")
        self.corrections.check_model(case_id, predictor.model.sha256, predictor.model.version)
        head = self.cases.get(case_id).report.get("head")
        if not head:
            raise InputError("This case is a crop, not a head", code="no_sides")
        centres = {n: s["centre_mm"] for n, s in head["sides"].items() if s["pointed"]}
        with (
            self.shadow.attending(),
            vetted(io.BytesIO(self.cases.image_file(case_id)), self.incoming) as file,
            predictor.slot(caller.user, caller.on_place, caller.gone),
        ):
            volume = load(file)
            segmentation = predictor.segment(volume, caller.gone, centres | {side: list(centre_mm)})
        with self.sign_ins.as_now():
            return self.corrections.segment_here(
                case_id, segmentation, base=base, author=author, side=side,
                comment=f"Segmented {side} where pointed at",
            )  # fmt: skip

    def delete_case(self, case_id: str) -> None:
        """Delete a case, and the viewer's cached files of it."""
        self.cases.delete(case_id)
        self.viewer_files.forget(case_id)

    def forget_patient(self, patient: str) -> "Receipt":
        """Remove all of a patient at once; see `core.training.forgetting.forget`."""
        from core.training.forgetting import forget

        return forget(self.cases, self.registry, self.leftovers, patient)

    def judge(self, number: int) -> "Verdict":
        """What the gate says of a version; see `core.training.promotion.verdict_on`."""
        # Imports scipy.stats, which a start need not wait for.
        from core.training.promotion import margins_of, verdict_on

        return verdict_on(self.registry, number, margins_of(self.settings))

    def promote(self, number: int, *, by: str, reason: str = "", seen: str | None = None) -> None:
        """Put a model version into service, through the gate; requests go on meanwhile.

        Parameters
        ----------
        by, reason, seen
            See `core.training.promotion.promote`.

        Raises
        ------
        HippoViewError
            The gate stops it, it cannot serve, or what serves could not be written down: this
            process serves as before. `follow` makes up for what broke off halfway.
        """
        from core.training.promotion import margins_of, promote

        promote(
            self.registry, number, self.predictors.swap, margins_of(self.settings),
            by=by, reason=reason, seen=seen,
        )  # fmt: skip

    def roll_back(self, seen: int | None = None, *, by: str) -> int:
        """Put the version into service that served before this one; returns its number.

        It does not ask the gate: it is the way out when the version in service is bad.

        Parameters
        ----------
        seen
            The version that a person was shown as the one before; left out, whichever it is.
        by
            Who asks for it.

        Raises
        ------
        HippoViewError
            It cannot serve, is no longer the one that was seen, there is none, or as `promote`.
        """
        number = self.registry.previous() if seen is None else seen
        if number is None:
            raise ConflictError("No other version was in service before this one")
        self.predictors.swap(
            partial(self.registry.open, number),
            partial(self.registry.roll_back, number, Note(by)),
        )
        return number

    def follow(self) -> None:
        """Make database and predictor follow the storage, if a change was interrupted.

        Raises
        ------
        HippoViewError
            Not now: call it again.
        """
        self.registry.settle()
        if self.predictors.serving is None and self.predictors.failure is not None:
            self.registry.prepare()
        self.predictors.follow(lambda: self.registry.serving().number, self.registry.open)


def empty_incoming(data_dir: Path) -> tuple[Path, Lost]:
    """The folder of private copies, without those of a process that was killed, and their count.

    Raises
    ------
    SettingsError
        It holds files, and no server of ours ever ran here: they are somebody's.
    StorageError
    """
    incoming = data_dir / "incoming"
    held = list(incoming.iterdir()) if incoming.is_dir() else []
    known = (DATABASE_NAME, incoming.with_suffix(".lock").name)
    if any(path.is_file() for path in held) and not any((data_dir / n).is_file() for n in known):
        raise SettingsError(
            f"The folder {incoming.name} in HIPPOVIEW_DATA_DIR holds files that are not of this "
            "server, which would be removed",
            "Point HIPPOVIEW_DATA_DIR to a folder of its own.",
        )
    clear_unless_shared(incoming)
    gone = [path for path in held if path.name.startswith(WAITING_PREFIX) and not path.exists()]
    return incoming, Lost(len(gone), time.time())


def build_services(settings: Settings) -> Services:
    """Build the services of a server; `app.background.start` starts their background work.

    Raises
    ------
    SettingsError
    StorageError
    """
    incoming, lost = empty_incoming(settings.data_dir)
    engine = connect(settings.data_dir, Keyring.of(settings), url=settings.database_url)
    storage = open_storage(settings)
    trail = audit.set_up(engine, settings)
    if settings.database_url:
        origins_key = installation_key(settings)
        agree_on_keys(engine, {"audit_key": trail.derived("key"), "origins_key": origins_key})
    archive = Archive(engine, storage)
    archive.open()
    cases = Cases(engine, storage, origins=Origins(storage, partial(installation_key, settings)))
    cases.caretaker.retention_days = settings.retention_days
    cases.acts.lines = Lines(engine, archive.covered)
    registry = Registry(engine, storage, settings.model_dir)
    options = InferenceOptions.from_settings(settings)
    predictors = Predictors(registry.open_serving, options, settings.queue_size)
    shadow = Shadow(
        engine, registry, lambda number: warmed(partial(registry.open, number), options)
    )
    kept_people = KeptPeople(engine, storage)
    accounts = people_at_start(settings, engine, kept_people)
    jobs = Jobs(
        engine, settings.data_dir, lease_s=settings.lease_s, trains=settings.engine == "local"
    )
    metrics.watch(predictors)
    viewer_files = ViewerFiles(cases, settings.data_dir / "viewed", encrypt=settings.encrypts)
    return Services(
        settings, predictors, cases, Corrections(engine, storage, cases), storage, registry, jobs,
        Datasets(storage), accounts, SignIns(engine, on_change=kept_people.follow), kept_people,
        incoming, lost,
        link_secret=trail.derived("links of the viewer"),
        viewer_files=viewer_files,
        job_folders=JobFolders(engine, settings.data_dir, storage=storage),
        shadow=shadow, rules=Rules(engine, cases), archive=archive,
        leftovers=Leftovers(cases, storage, settings.data_dir, viewer_files.forget_gone),
        drift=DriftWatch(engine, cases, registry, storage, settings.drift_run_length),
        collection=Collection(engine, cases, settings.keep_api, settings.retention_days),
        outside=Outside.of(settings, engine, storage, registry),
        provider=provider_sign_ins(settings, engine, kept_people.follow),
    )  # fmt: skip


def wait_for_model(predictors: Predictors, timeout_s: float, poll_s: float = 0.2) -> None:
    """Return once the model serves.

    Raises
    ------
    ModelError
        It cannot serve, or not in time.
    """
    deadline = time.monotonic() + timeout_s
    while predictors.serving is None:
        predictors.check()
        if time.monotonic() > deadline:
            raise ModelError("The model is still being loaded", "Try again in a minute.")
        time.sleep(poll_s)
