"""How many passwords a client may guess, and that nobody else is locked out by it."""

from ipaddress import ip_address

from mailgate.receive.guesses import Guesses

HERE, THERE = ip_address("192.0.2.7"), ip_address("198.51.100.9")


def wrong(guesses: Guesses, name: str, now: float, *, client=HERE) -> bool:
    """Try a wrong password, if that is let; whether it was."""
    may = not guesses.shut(client, name, now)
    if may:
        guesses.wrong(client, name, now)
    return may


def test_a_client_has_a_few_guesses_and_then_one_a_minute() -> None:
    guesses = Guesses()
    tried = [second for second in range(3600) if wrong(guesses, "ann", float(second))]
    assert tried[:5] == [0, 1, 2, 3, 4]
    assert tried[5:7] == [60, 120]
    assert len(tried) == 5 + 59
    names = Guesses()
    assert sum(wrong(names, f"u{n}", n / 49) for n in range(49 * 60)) in range(28, 32)


def test_a_name_is_slow_and_never_shut_for_those_who_guess_nothing() -> None:
    guesses = Guesses()
    guesses.right(THERE, "Ann")
    for number in range(1000):
        assert wrong(guesses, "ANN", 1.0, client=ip_address(f"203.0.113.{number % 250}"))
        if number == 9:
            assert guesses.slow(HERE, "ann", 1.0) == 0
    assert guesses.slow(HERE, "ann", 1.0) == 5
    assert guesses.shut(HERE, "ann", 1.0) == 0
    assert guesses.slow(THERE, "ann", 1.0) == 0
    assert guesses.slow(HERE, "ann", 1.0 + 7200) == 0


def test_who_has_logged_in_is_not_shut_out_by_others_at_the_same_address() -> None:
    guesses = Guesses()
    guesses.right(HERE, "ann")
    while wrong(guesses, "eve", 0.0) or wrong(guesses, "mallory", 0.0):
        pass
    while wrong(guesses, "x", 0.0) or wrong(guesses, "y", 0.0):
        pass
    assert guesses.shut(HERE, "bob", 0.0) > 0
    assert guesses.shut(HERE, "ann", 0.0) == 0
    assert [wrong(guesses, "ann", 0.0) for _ in range(6)] == [True] * 5 + [False]
