"""The series among which a person chooses. Imports no pydicom, which a server starts without."""

from dataclasses import dataclass

from core.errors import InputError


@dataclass(frozen=True)
class Offer:
    """A series as a person chooses it.

    Attributes
    ----------
    uid, description : str
    date : str
        YYYY-MM-DD; empty where the header does not say.
    slices : int
    spacing_mm : tuple of float
        Along a row, along a column and from slice to slice; empty where the slices are no stack.
    has_contrast_agent : bool
    why_not : str
        Why it cannot be segmented; empty if it can.
    """

    uid: str
    description: str
    date: str
    slices: int
    spacing_mm: tuple[float, ...]
    has_contrast_agent: bool
    why_not: str


class SeveralSeriesError(InputError):
    """Several series may be the one to segment.

    Parameters
    ----------
    message, hint
    offers
        All series, the likeliest first.
    """

    code = "several_series"

    def __init__(self, message: str, hint: str, offers: tuple[Offer, ...]) -> None:
        super().__init__(message, hint)
        self.offers = offers
