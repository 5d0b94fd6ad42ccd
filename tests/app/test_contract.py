"""Requests made up from the API's own description: no answer is a fault, or undocumented."""

import itertools
from collections.abc import Iterator

import pytest
import schemathesis
from fastapi import FastAPI
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

from app.http.api import make_api
from app.http.bodies import kinds_of_bodies
from app.services import build_services
from core.limits import MIB
from core.settings import Settings

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance,
]  # fmt: skip
_SETTINGS = {
    "phases": (Phase.explicit, Phase.generate), "deadline": None, "database": None,
    "suppress_health_check": list(HealthCheck), "derandomize": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[FastAPI]:
    """The API of a server without accounts: whoever asks may do all."""
    shared = build_services(Settings(data_dir=tmp_path_factory.mktemp("var")))
    shared.predictors.load(before=shared.registry.prepare)
    yield make_api(kinds_of_bodies(MIB, 4, shared.incoming), shared)
    shared.predictors.close()


def faults(api: FastAPI, examples: int) -> tuple[int, list[str]]:
    """How many routes were asked, and what was wrong with an answer of each."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", api)
    found, routes = [], [result.ok() for result in schema.get_all_operations()]
    for route, mode in itertools.product(routes, GenerationMode):

        @settings(max_examples=examples, **_SETTINGS)
        @given(case=route.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        try:
            ask()
        except Unsatisfiable:  # a route that takes nothing cannot be asked wrongly
            continue
        except (AssertionError, FailureGroup, BaseExceptionGroup) as error:
            found.append(f"{route.label}, {mode.value}: {error!r}")
    return len(routes), found


def test_every_answer_is_as_documented(api):
    routes, found = faults(api, examples=2)
    assert routes >= 20
    assert found == []


@pytest.mark.long
def test_every_answer_of_a_hundred_times_as_many(api):
    assert faults(api, examples=300)[1] == []
