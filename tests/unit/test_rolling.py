"""The rolling window and the bound on validation's time."""

from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.rolling import RollingScores, TimeShare
from core.evaluate.text import score

RIGHT = score("마왕족발", "마왕족발")
WRONG = score("마왕족발", "전화번호")


def test_the_window_forgets_the_oldest() -> None:
    rolling = RollingScores(rows=10, window=4)
    rolling.add([WRONG] * 3)
    rolling.add([RIGHT] * 3)
    scores = rolling.scores()
    assert (scores.n, scores.exact.value) == (4, 0.75)


@given(st.integers(1, 50), st.integers(1, 70), st.integers(1, 20))
def test_every_row_comes_up_in_turn(rows: int, size: int, rounds: int) -> None:
    rolling = RollingScores(rows=rows, window=100)
    seen: list[int] = []
    for _ in range(rounds):
        places = rolling.next_rows(size)
        assert len(set(places)) == len(places)
        seen += places
        rolling.add([RIGHT] * len(places))
    assert seen == [place % rows for place in range(len(seen))]


def test_a_restored_window_goes_on() -> None:
    rolling = RollingScores(rows=7, window=5)
    rolling.add([RIGHT, WRONG, RIGHT])
    again = RollingScores(rows=7, window=5, state=rolling.state())
    assert again.next_rows(3) == rolling.next_rows(3) == [3, 4, 5]
    assert again.scores() == rolling.scores()


@given(st.lists(st.floats(0.01, 10), max_size=50), st.floats(0.01, 0.5), st.floats(0.01, 5))
def test_validation_never_takes_more_than_its_share(
    trained: list[float], share: float, cost: float
) -> None:
    ledger = TimeShare(share)
    for seconds in trained:
        ledger.trained_s += seconds
        while ledger.allows(cost):
            ledger.spent_s += cost
        assert ledger.taken <= share + 1e-9
