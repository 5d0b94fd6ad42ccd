"""What tells of an installation beyond its pages: messages, reports, checks, other sites."""

from dataclasses import dataclass

from sqlalchemy import Engine

from core.drift.channels import channels_of
from core.drift.notices import Notices
from core.drift.sites import Sites
from core.exports.drift_reports import DriftReports
from core.models.registry import Registry
from core.people.audit_watch import AuditWatch
from core.settings import Settings
from core.state.storage import Storage


@dataclass(frozen=True)
class Outside:
    """The parts."""

    notices: Notices
    sites: Sites
    reports: DriftReports
    audit_watch: AuditWatch

    @classmethod
    def of(
        cls, settings: Settings, engine: Engine, storage: Storage, registry: Registry
    ) -> "Outside":
        """Those of a server.

        Raises
        ------
        SettingsError
        """
        return cls(
            Notices(engine, channels_of(settings)),
            Sites(engine, registry, settings.drift_run_length),
            DriftReports(storage, settings.drift_report),
            AuditWatch(engine, storage),
        )
