"""Many scans at once, as one person at one page sees it."""

import httpx
import numpy as np
import pytest

from tests.scans import as_bytes, example, image
from tests.server import hang_up
from tests.waiting import until


@pytest.mark.long
def test_a_page_shows_its_place_in_the_queue_and_is_served_in_between(user, server):
    scan = example()
    wide = as_bytes(image(np.tile(np.asarray(scan.dataobj), (2, 1, 2)), scan.affine))
    user.open()
    held = [hang_up(server, wide) for _ in range(15)]

    def waiting() -> int:
        return int(httpx.get(f"{server.url}/api/health").json()["waiting"])

    until(lambda: waiting() >= 6, poll_s=0.02)
    user.page.get_by_role("button", name="Try an example").click()
    user.read("in the queue")
    user.see_result("Example (MNI152 average brain)")
    for connection in held:
        connection.close()
    until(lambda: waiting() == 0)
