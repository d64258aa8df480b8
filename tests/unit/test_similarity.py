"""Where rapidfuzz's similarity and difflib's differ, over 10,000 pairs of made names."""

import difflib
import random
from functools import partial

import pytest

from core.evaluate.text import normalize, similarity


def random_pairs(count: int) -> list[tuple[str, str]]:
    """Names of 2 to 12 syllables out of twelve, each beside itself with up to four edits."""
    draw = random.Random(0)
    alphabet = [chr(draw.randrange(0xAC00, 0xD7A4)) for _ in range(12)]
    pairs = []
    for _ in range(count):
        name = [draw.choice(alphabet) for _ in range(draw.randint(2, 12))]
        pairs.append(("".join(name), "".join(edited(list(name), alphabet, draw))))
    return pairs


def edited(name: list[str], alphabet: list[str], draw: random.Random) -> list[str]:
    for _ in range(draw.randint(0, 4)):
        kind, place = draw.randrange(4), draw.randrange(len(name) + 1)
        if kind == 0:
            name.insert(place, draw.choice(alphabet))
        elif name and kind == 1:
            name.pop(min(place, len(name) - 1))
        elif name and kind == 2:
            name[min(place, len(name) - 1)] = draw.choice(alphabet)
        elif len(name) > 1:
            place = min(place, len(name) - 2)
            name[place], name[place + 1] = name[place + 1], name[place]
    return name


def common(a: str, b: str) -> int:
    """The length of the longest common subsequence."""
    above = [0] * (len(b) + 1)
    for letter in a:
        row = [0]
        for at, other in enumerate(b):
            row.append(above[at] + 1 if letter == other else max(above[at + 1], row[at]))
        above = row
    return above[-1]


def test_rapidfuzz_and_difflib_differ_as_the_docstring_says() -> None:
    match = partial(difflib.SequenceMatcher, None, autojunk=False)
    differing = other_side = 0
    for a, b in random_pairs(10_000):
        assert normalize(a + b) == a + b
        blocks = sum(block.size for block in match(a, b).get_matching_blocks())
        ours, greedy = similarity(a, b), 100 * match(a, b).ratio()
        assert ours == pytest.approx(200 * common(a, b) / len(a + b) if a + b else 100)
        assert (abs(ours - greedy) > 1e-9) == (blocks < common(a, b))
        differing += blocks < common(a, b)
        other_side += (ours >= 80) != (greedy >= 80)
        assert greedy <= ours + 1e-9
    assert (differing, other_side) == (110, 15)
    assert similarity("가가가나가", "가나가나가") == 80
    assert 100 * match("가가가나가", "가나가나가").ratio() == pytest.approx(60)
