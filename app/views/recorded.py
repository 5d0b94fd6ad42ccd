"""Downloads as whoever has drawn the page; of a case they leave a line in the trail."""

from collections.abc import Callable

from app.services import Services
from core.people.acting import acting_as, actor


def as_visitor(shared: Services, made: Callable[[], bytes]) -> Callable[[], bytes]:
    """What makes a download, as whoever has drawn the page: its own thread begins as nobody.

    What that one may do is asked anew: the page may have been drawn hours before.
    """
    who = actor()

    def content() -> bytes:
        with acting_as(shared.sign_ins.as_of_now(who)):
            return made()

    return content


def recorded(
    shared: Services, case_id: str, what: str, data: bytes | Callable[[], bytes]
) -> Callable[[], bytes]:
    """The content of a download, with its line written first: what is in no trail does not leave.

    Parameters
    ----------
    what
        Which file, such as ``mask.nii.gz``.
    data
        The file, or what makes it.
    """

    def content() -> bytes:
        shared.cases.acts.admit(case_id, "see")
        shared.cases.acts.lines.exported(case_id, what)
        return data() if callable(data) else data

    return as_visitor(shared, content)
