"""The server's services, for the routes of the API."""

from typing import Annotated

from fastapi import Depends, Request

from app.services import Services


def held_by(request: Request) -> Services:
    """The services that the API was built with."""
    held: Services = request.app.state.services
    return held


Held = Annotated[Services, Depends(held_by)]
