"""Who acts is said at a door, and asked where something is done."""

import threading

from core.people.acting import NOBODY, SERVER, Actor, acting_as, actor, ask_where_unsaid

ANNA = Actor("a1", "Anna", "reader", frozenset({"memory"}))


def test_a_block_acts_as_somebody_and_its_caller_as_before() -> None:
    assert actor() is NOBODY
    with acting_as(SERVER):
        with acting_as(ANNA):
            assert actor() is ANNA
        assert actor() is SERVER
    assert actor() is NOBODY


def test_a_new_thread_acts_as_nobody_until_it_is_told() -> None:
    seen = []
    with acting_as(ANNA):
        thread = threading.Thread(target=lambda: seen.append(actor()))
        thread.start()
        thread.join()
    assert seen == [NOBODY]


def test_a_page_is_asked_only_where_no_door_has_said_it() -> None:
    ask_where_unsaid(lambda: ANNA)
    try:
        assert actor() is ANNA
        with acting_as(SERVER):
            assert actor() is SERVER
    finally:
        ask_where_unsaid(None)
