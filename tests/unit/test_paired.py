"""Intervals and tests against published examples, exact sums, and every table there is."""

import math
import random
from decimal import Decimal, getcontext
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from core.evaluate.paired import PairedTable, mcnemar, newcombe
from core.evaluate.text import Z_95, wilson

COUNTS = st.integers(0, 60)
TABLES = st.tuples(COUNTS, COUNTS, COUNTS, COUNTS)


def table(both: int, first: int, second: int, neither: int) -> PairedTable:
    return PairedTable(both=both, first=first, second=second, neither=neither)


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        # Cavo et al. 2012 in Fagerland, Lydersen and Laake, "Statistical Analysis of Contingency
        # Tables" 2017, chapter 8 (R package contingencytables); theirs is first minus second.
        ((59, 6, 16, 80), 0.0046, 0.1186),
        # Bentur et al. 2009, there as well: -0.507 to -0.026.
        ((1, 1, 7, 12), 0.0256, 0.5069),
        # Armitage and Berry 1994, p. 127: two media for one culture (StatsDirect's help).
        ((20, 12, 2, 16), -0.3292, -0.0562),
    ],
)
def test_newcombe_against_published_intervals(
    cells: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = newcombe(table(*cells))
    assert (round(found[0], 4), round(found[1], 4)) == (low, high)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # The vignette of the R package MKinfer.
        (12, 50, 0.1430, 0.3741),
    ],
)
def test_wilson_against_published_intervals(
    successes: int, n: int, low: float, high: float
) -> None:
    found = wilson(successes, n)
    assert (round(found[0], 4), round(found[1], 4)) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # Armitage and Berry's media, StatsDirect's exact test: P = 0.0129.
        (12, 2, 0.0129),
        # Bentur et al.: 2 * (1 + 8) / 256.
        (1, 7, 0.0703),
        (0, 5, 0.0625),
        (0, 6, 0.0312),
        (0, 0, 1.0),
        (5, 5, 1.0),
    ],
)
def test_mcnemar_against_known_values(first: int, second: int, p: float) -> None:
    assert round(mcnemar(first, second), 4) == p


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_is_the_exact_sum(first: int, second: int) -> None:
    n = first + second
    probabilities = [Fraction(math.comb(n, right), 2**n) for right in range(n + 1)]
    exact = sum(each for each in probabilities if each <= probabilities[first])
    assert mcnemar(first, second) == pytest.approx(float(exact), rel=1e-15)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_of_a_whole_validation_set() -> None:
    assert mcnemar(8_636, 8_636) == 1.0
    assert mcnemar(0, 17_272) == 0.0
    assert 0.04 < mcnemar(500, 566) < 0.05


@given(TABLES)
def test_newcombe_with_forty_digits(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    n = sum(cells)
    if n == 0:
        assert newcombe(table(*cells)) == (-1, 1)
        return
    getcontext().prec = 40
    before, after = Decimal(both + first) / n, Decimal(both + second) / n
    (low1, high1), (low2, high2) = (limits(share, n) for share in (before, after))
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = Decimal(both * neither - first * second)
    if product > 0:
        product = max(product - Decimal(n) / 2, Decimal(0))
    phi = product / Decimal(margins).sqrt() if margins else Decimal(0)
    down, up = after - low2, high2 - after
    left, right = before - low1, high1 - before
    low = after - before - (down**2 - 2 * phi * down * right + right**2).sqrt()
    high = after - before + (up**2 - 2 * phi * up * left + left**2).sqrt()
    assert newcombe(table(*cells)) == pytest.approx((float(low), float(high)), abs=1e-9)


def limits(share: Decimal, n: int) -> tuple[Decimal, Decimal]:
    """Where the distance to the share is z standard errors: the roots of a quadratic."""
    z2 = Decimal(str(Z_95)) ** 2
    a, b, c = n + z2, -(2 * n * share + z2), n * share * share
    root = (b * b - 4 * a * c).sqrt()
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@given(TABLES)
def test_newcombe_holds_the_difference_and_has_no_side(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    low, high = newcombe(table(*cells))
    assert -1 <= low <= high <= 1
    if n := sum(cells):
        assert low - 1e-12 <= (second - first) / n <= high + 1e-12
    swapped = newcombe(table(both, second, first, neither))
    assert swapped == pytest.approx((-high, -low))
    # Wrong for right and the second for the first is the same difference.
    assert newcombe(table(neither, first, second, both)) == pytest.approx((low, high))


@pytest.mark.parametrize(
    "cells", [(0.5, 0.2, 0.1, 0.2), (0.3, 0.05, 0.3, 0.35), (0.8, 0.1, 0, 0.1)]
)
def test_newcombe_holds_the_truth_nearly_always(cells: tuple[float, float, float, float]) -> None:
    """The exact chance over all tables of 25 rows; 0.95 is nominal, single points go below it."""
    n, chance = 25, 0.0
    truth = cells[2] - cells[1]
    for both in range(n + 1):
        for first in range(n + 1 - both):
            for second in range(n + 1 - both - first):
                found = (both, first, second, n - both - first - second)
                low, high = newcombe(table(*found))
                if low <= truth <= high:
                    chance += multinomial(found, cells)
    assert chance > 0.93


def multinomial(counts: tuple[int, ...], cells: tuple[float, ...]) -> float:
    ways = math.factorial(sum(counts))
    for count in counts:
        ways //= math.factorial(count)
    return ways * math.prod(share**count for share, count in zip(cells, counts, strict=True))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_interval_of_a_mean_holds_it(values: list[float]) -> None:
    total, n = min(math.fsum(values), len(values)), len(values)
    low, high = wilson(total, n)
    assert 0 <= low < high <= 1
    assert low - 1e-12 <= total / n <= high + 1e-12
    # What all values leave to chance is more than a normal interval of their own spread would say.
    mean = total / n
    spread = math.fsum((value - mean) ** 2 for value in values) / n
    assert spread <= mean * (1 - mean) + 1e-12


@pytest.mark.parametrize("values", [(0.0, 0.9, 1.0, 1.0, 1.0, 1.0), (0.4, 0.5, 0.6), (0.0, 1.0)])
def test_the_interval_of_a_mean_holds_the_truth(values: tuple[float, ...]) -> None:
    """2,000 samples of 20: a normal interval of the first values holds it in 86 % of them."""
    draw, truth = random.Random(1), sum(values) / len(values)
    held = 0
    for _ in range(2_000):
        low, high = wilson(math.fsum(draw.choices(values, k=20)), 20)
        held += low <= truth <= high
    assert held / 2_000 > 0.94


@given(right=st.integers(0, 400), wrong=st.integers(0, 400))
def test_against_scipy(right: int, wrong: int) -> None:
    """Wilson's interval and McNemar's p, which is the exact binomial test of the changed rows."""
    assume(right + wrong > 0)
    found = stats.binomtest(right, right + wrong)
    assert mcnemar(right, wrong) == pytest.approx(found.pvalue)
    interval = found.proportion_ci(method="wilson")
    assert wilson(right, right + wrong) == pytest.approx((interval.low, interval.high), abs=1e-6)
