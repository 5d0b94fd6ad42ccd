"""Downloads that arrive on a busy server: what a button promised holds for some minutes longer.

Streamlit forgets what makes a download once the button is drawn again, and the file that was made
once two scripts, of whichever visitors, have ended since. So with several people at work a click
found nothing, or the browser came for a file that was gone, and nothing was downloaded. Whether the
visitor may still have the file is asked when it is made (`app.views.recorded`).
"""

import threading
import time
from collections.abc import Callable

from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileKind

# So long Streamlit's page waits for a download.
_KEPT_S = 180.0
# At most, of all visitors: the newest.
_MOST = 300
_FORGET_EVERY_S = 30.0
# As the name of a session that refers to what is kept; a real one is a UUID.
_KEEPER = "kept for a while"


def keep_downloads(
    manager: MediaFileManager, now: Callable[[], float] = time.monotonic, kept_s: float = _KEPT_S
) -> None:
    """Have Streamlit forget downloads only some time after no page refers to them any more.

    Parameters
    ----------
    manager
        The server's; its own parts are used, which `tests/app/test_downloads.py` looks after.
    now
        A clock, s.
    kept_s
    """
    forget = manager.remove_orphaned_files
    orphaned_at: dict[str, float] = {}

    def forget_later() -> None:
        with manager._lock:
            sessions = manager._files_by_session_and_coord
            sessions.pop(_KEEPER, None)
            used = {file_id for files in sessions.values() for file_id in files.values()}
            downloads = {
                *manager._deferred_callables,
                *(
                    file_id for file_id, file in manager._file_metadata.items()
                    if file.kind == MediaFileKind.DOWNLOADABLE
                ),
            }  # fmt: skip
            for file_id in [*orphaned_at]:
                if file_id in used or file_id not in downloads:
                    del orphaned_at[file_id]
            at = now()
            for file_id in downloads - used:
                orphaned_at.setdefault(file_id, at)
            kept = [each for each, since in orphaned_at.items() if at - since < kept_s][-_MOST:]
            if kept:
                sessions[_KEEPER] = {file_id: file_id for file_id in kept}
        forget()

    manager.remove_orphaned_files = forget_later  # type: ignore[method-assign]


def forget_downloads(manager: MediaFileManager) -> None:
    """Forget what nobody came for, also while no page is run."""
    manager.remove_orphaned_files()
    threading.Event().wait(_FORGET_EVERY_S)
