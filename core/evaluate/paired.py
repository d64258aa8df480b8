"""Statistics of one yes or no a row, seen twice on the same rows; pure functions."""

import math

import msgspec

from core.evaluate.text import Z_95, wilson


class PairedTable(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows are right in both, in the first alone, in the second alone, in neither."""

    both: int
    first: int
    second: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.first + self.second + self.neither


def newcombe(table: PairedTable, z: float = Z_95) -> tuple[float, float]:
    """The interval of the second share minus the first, as fractions from -1 to 1.

    Method 10 of Newcombe 1998, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17:2635: the Wilson limits of the two
    shares, joined with the correlation phi of the two, which is corrected for continuity where it
    is positive. No rows tell nothing: (-1, 1).
    """
    n = table.n
    if n == 0:
        return -1.0, 1.0
    before, after = table.both + table.first, table.both + table.second
    (low1, high1), (low2, high2) = wilson(before, n, z), wilson(after, n, z)
    share1, share2 = before / n, after / n
    phi = _phi(table)
    down = _joined(share2 - low2, high1 - share1, phi)
    up = _joined(high2 - share2, share1 - low1, phi)
    difference = (table.second - table.first) / n
    return max(-1.0, difference - down), min(1.0, difference + up)


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p of McNemar's test: of ``first + second`` fair coins, as uneven a fall.

    McNemar 1947, Psychometrika 12:153, with the binomial distribution: twice the smaller tail, at
    most 1; 1 where no row differs. Exact up to the last rounding.
    """
    n, fewer = first + second, min(first, second)
    term = tail = 1
    for place in range(fewer):
        term = term * (n - place) // (place + 1)
        tail += term
    return min(1.0, 2 * tail / 2**n) if n else 1.0


def _phi(table: PairedTable) -> float:
    margins = (
        (table.both + table.first)
        * (table.second + table.neither)
        * (table.both + table.second)
        * (table.first + table.neither)
    )
    if margins == 0:
        return 0.0
    product = float(table.both * table.neither - table.first * table.second)
    if product > 0:
        product = max(product - table.n / 2, 0.0)
    return product / math.sqrt(margins)


def _joined(left: float, right: float, phi: float) -> float:
    return math.sqrt(max(0.0, left * left - 2 * phi * left * right + right * right))
