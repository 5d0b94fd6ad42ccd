"""What a preparation says: what it kept, mended and left out, and how cases were grouped."""

from dataclasses import dataclass, field
from typing import Any

from core import limits
from core.errors import InputError
from core.wording import counted


@dataclass
class Report:
    """Report of a preparation.

    Attributes
    ----------
    kept : list of str
        Names of the cases in the data set that the source holds; those of heads as
        `core.training.data.names` has them.
    mended, left_out : dict of str to str
        By file or case, what was changed, or why it is not used.
    changed, gone : list of str
        Of a data set that follows its source: cases with new files, and cases that are no longer
        in the source.
    rules : list of str
        Sentences: by which rules files were paired and cases grouped by patient, and which could
        not be grouped.
    """

    kept: list[str] = field(default_factory=list)
    mended: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "kept": sorted(self.kept),
            "mended": dict(sorted(self.mended.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "changed": sorted(self.changed),
            "gone": sorted(self.gone),
            "rules": self.rules,
        }

    def lines(self) -> list[str]:
        """Lines for a person to read."""
        return [
            f"{counted(len(self.kept), 'case')} kept, {len(self.mended)} mended, "
            f"{len(self.left_out)} left out",
            *(f"  mended    {name}: {what}" for name, what in sorted(self.mended.items())),
            *(f"  left out  {name}: {why}" for name, why in sorted(self.left_out.items())),
            *(f"  changed   {name}: taken anew" for name in sorted(self.changed)),
            *(f"  gone      {name}: no longer in the source" for name in sorted(self.gone)),
            *(f"  {rule}" for rule in self.rules),
        ]


class TooFewCasesError(InputError):
    """Too few cases of a data set can be used; its report says why."""

    code = "too_few_cases"

    def __init__(self, count: int, report: Report) -> None:
        super().__init__(
            f"Only {counted(count, 'case')} can be used; {limits.MIN_DATASET_CASES} are needed for "
            "a test set and five folds",
            "See the reasons for each case, correct the files and prepare it again.",
        )
        self.report = report
