"""How many attempts an endpoint gets at once."""

from __future__ import annotations

from internal.webhook.endpoints import Endpoints, Room

BUSY = "http://busy:80"


def test_a_busy_endpoint_has_fewer_places() -> None:
    """
    Only endpoints with attempts on their way are listed.
    """
    endpoints = Endpoints(4)
    endpoints.started(BUSY)
    endpoints.started(BUSY)

    assert endpoints.rooms() == [Room(endpoint=BUSY, places=2, put_off_seconds=0.2)]

    endpoints.ended(BUSY, delivered=True)
    endpoints.ended(BUSY, delivered=True)

    assert endpoints.rooms() == []


def test_an_endpoint_that_only_fails_is_put_off_longer_up_to_a_limit() -> None:
    """
    Success forgives at once.
    """
    endpoints = Endpoints(4)
    endpoints.started(BUSY)
    waits: list[float] = []
    for _ in range(12):
        endpoints.started(BUSY)
        endpoints.ended(BUSY, delivered=False)
        waits += [room.put_off_seconds for room in endpoints.rooms()]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.4, 30)

    endpoints.started(BUSY)
    endpoints.ended(BUSY, delivered=True)

    assert endpoints.rooms()[0].put_off_seconds == 0.2
