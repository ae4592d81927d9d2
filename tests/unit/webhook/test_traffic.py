"""How many attempts a destination gets at once, and when it gets none for a while."""

from __future__ import annotations

from internal.webhook.traffic import Room, Traffic

BUSY = "acme/http://busy:80"


def traffic() -> Traffic:
    return Traffic(places=4, tenant_places=6)


def room(of: Traffic, now: float = 0, name: str = BUSY) -> Room | None:
    return next((room for room in of.rooms(now) if room.name == name), None)


def fail(of: Traffic, times: int, now: float = 0) -> None:
    for _ in range(times):
        of.started(BUSY)
        of.ended(BUSY, now, delivered=False)


def test_a_busy_destination_and_its_tenant_have_fewer_places() -> None:
    """
    Who has none on the way and no failures is not named.
    """
    busy = traffic()
    busy.started(BUSY)
    busy.started(BUSY)

    assert busy.rooms(0) == [
        Room(name="acme", places=4, put_off_seconds=0.2),
        Room(name=BUSY, places=2, put_off_seconds=0.2),
    ]

    busy.ended(BUSY, 0, delivered=True)
    busy.ended(BUSY, 0, delivered=True)

    assert busy.rooms(0) == []


def test_the_breaker_opens_after_five_failures_in_a_row() -> None:
    """
    Four leave it as it was; the fifth shuts it for half a minute.
    """
    failing = traffic()
    fail(failing, 4)
    before = room(failing)
    fail(failing, 1)

    assert before == Room(name=BUSY, places=4, put_off_seconds=0.2)
    assert room(failing) == Room(name=BUSY, places=-1, put_off_seconds=30)


def test_one_attempt_probes_what_was_shut() -> None:
    """
    After the pause there is one place; a success opens all, a failure doubles the pause.
    """
    probed = traffic()
    fail(probed, 5)
    assert room(probed, 31) == Room(name=BUSY, places=1, put_off_seconds=0.2)

    probed.started(BUSY)
    assert room(probed, 31) == Room(name=BUSY, places=0, put_off_seconds=0.2)
    probed.ended(BUSY, 31, delivered=False)

    assert room(probed, 31) == Room(name=BUSY, places=-1, put_off_seconds=60)

    probed.started(BUSY)
    probed.ended(BUSY, 95, delivered=True)

    assert probed.rooms(95) == []


def test_the_pause_has_a_limit() -> None:
    """
    However long an endpoint is dead, it is probed every five minutes.
    """
    dead = traffic()
    for probe in range(100):
        fail(dead, 1, now=probe * 301)

    assert room(dead, 99 * 301) == Room(name=BUSY, places=-1, put_off_seconds=300)


def test_what_was_on_its_way_does_not_lengthen_the_pause() -> None:
    """
    A burst that fails together is one outage, not many.
    """
    burst = traffic()
    fail(burst, 8)

    assert room(burst) == Room(name=BUSY, places=-1, put_off_seconds=30)


def test_a_success_in_between_keeps_the_breaker_shut() -> None:
    """
    Only failures in a row count.
    """
    flaky = traffic()
    for _ in range(10):
        fail(flaky, 4)
        flaky.started(BUSY)
        flaky.ended(BUSY, 0, delivered=True)

    assert room(flaky) is None


def test_a_long_line_for_a_slow_receiver_is_put_off_for_longer() -> None:
    """
    As long as an attempt takes there; looking more often would find no place.
    """
    slow = traffic()
    for _ in range(4):
        slow.started(BUSY)
    slow.ended(BUSY, 0, delivered=True, seconds=7.5)

    assert room(slow) == Room(name=BUSY, places=1, put_off_seconds=7.5)


def test_what_is_remembered_of_failures_is_bounded() -> None:
    """
    A tenant that makes up hosts fills no memory; the newest are kept.
    """
    many = traffic()
    for number in range(1_100):
        many.started(f"acme/http://h{number}")
        many.ended(f"acme/http://h{number}", 0, delivered=False)

    assert len(many.rooms(0)) == 1_000
    assert room(many, name="acme/http://h1099") is not None
