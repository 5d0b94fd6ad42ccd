"""Requests made up from the API's own description: no answer is a fault, or undocumented."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from app.door import Door
from app.http.api import make_api
from app.http.bodies import kinds_of_bodies
from app.http.visits import COOKIE
from app.services import build_services
from core.limits import MIB
from core.people import passwords
from core.people.acting import SERVER, acting_as
from core.settings import Settings
from tests.core.people.house import CHEAP, PASSWORD

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance,
]  # fmt: skip
# Of a busy machine: how soon an answer comes is not what is asked here.
_PATIENCE_S = 300
_SETTINGS = {
    "phases": (Phase.explicit, Phase.generate), "deadline": None, "database": None,
    "suppress_health_check": list(HealthCheck), "derandomize": True,
}  # fmt: skip


@dataclass(frozen=True)
class House:
    """The API behind its door, and what a browser sends that has signed in as administrator."""

    app: Starlette
    cookies: dict[str, str]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_HASHER", CHEAP)
        shared = build_services(Settings(data_dir=tmp_path_factory.mktemp("var")))
        shared.predictors.load(before=shared.registry.prepare)
        with acting_as(SERVER):
            shared.accounts.add("Root", "administrator", (), PASSWORD)
        _, token, _ = shared.sign_ins.sign_in("Root", PASSWORD)
    api = make_api(kinds_of_bodies(MIB, 4, shared.incoming), shared)
    door = Middleware(Door, shared=shared)
    yield House(Starlette(routes=[Mount("/api", api)], middleware=[door]), {COOKIE: token})
    shared.predictors.close()


def faults(house: House, examples: int, *, signed_in: bool) -> tuple[Counter[int], list[str]]:
    """The answers by status, and what was wrong with an answer of each route."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", house.app)
    found, routes = [], [result.ok() for result in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    cookies = house.cookies if signed_in else {}
    assert len(routes) >= 20
    for route, mode in itertools.product(routes, GenerationMode):

        @settings(max_examples=examples, **_SETTINGS)
        @given(case=route.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            case.cookies = {**(case.cookies or {}), **cookies}
            answer = case.call_and_validate(checks=CHECKS, timeout=_PATIENCE_S)
            statuses[answer.status_code] += 1

        try:
            ask()
        except Unsatisfiable:  # a route that takes nothing cannot be asked wrongly
            continue
        except (AssertionError, FailureGroup, BaseExceptionGroup) as error:
            found.append(f"{route.label}, {mode.value}: {error!r}")
    return statuses, found


@pytest.mark.parametrize(("signed_in", "examples"), [(True, 2), (False, 1)])
def test_every_answer_is_as_documented(signed_in, examples, house):
    statuses, found = faults(house, examples, signed_in=signed_in)
    assert found == []
    # Signed in it is the routes that answer, and signed out the door.
    assert (statuses[200] > 10, statuses[401] > 10) == (signed_in, not signed_in)
    assert max(statuses) < 500


@pytest.mark.long
@pytest.mark.parametrize("signed_in", [True, False])
def test_every_answer_of_a_hundred_times_as_many(signed_in, house):
    statuses, found = faults(house, 300, signed_in=signed_in)
    print(f"answers by status: {dict(statuses)}")
    assert found == []
