"""The worst case is as bad as the worst that the data can ask for."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.data.survey import open_rows
from core.data.tokens import PixelGeometry
from core.tune.worst_case import Extremes, ceiling_tokens, find_extremes, worst_photo

GEOMETRY = PixelGeometry(14, 2, 56 * 56)
sizes = st.lists(st.tuples(st.integers(20, 3000), st.integers(20, 3000)), min_size=1, max_size=8)


def byte_tokens(prompt: str, answer: str) -> int:
    """A tokenizer that knows only latin words: a token a byte for the rest."""
    return (
        5
        + len(prompt.encode())
        + sum(1 if word.isascii() else len(word.encode()) for word in answer.split())
    )


def test_the_text_with_the_most_tokens_is_found_not_the_longest(
    write_rows: Callable[..., Path],
) -> None:
    train = write_rows(
        [
            ("a.png", (300, 60), "A VERY LONG NAME IN PLAIN LATIN LETTERS"),
            ("b.png", (60, 60), "가"),
        ],
        "train.jsonl",
    )
    validation = write_rows([("c.png", (90, 400), "마왕족발마왕족발")], "validation.jsonl")
    extremes = find_extremes(
        open_rows(train, "refuse"), open_rows(validation, "refuse"), byte_tokens
    )
    assert extremes.answer == "마왕족발마왕족발"
    assert extremes.sizes == ((60, 60), (90, 400), (300, 60))


@given(sizes, st.integers(4, 20000))
def test_no_photo_has_more_tokens_than_the_worst(found: list[tuple[int, int]], tokens: int) -> None:
    extremes = Extremes(sizes=tuple(found), prompt="", answer="")
    worst = worst_photo(extremes, GEOMETRY, tokens * 784)
    counts = [GEOMETRY.image_tokens(width, height, tokens * 784) for width, height in found]
    assert worst.image_tokens == max(counts)
    assert (worst.width, worst.height) in found


@given(sizes)
def test_the_ceiling_is_the_largest_photo_as_it_is(found: list[tuple[int, int]]) -> None:
    extremes = Extremes(sizes=tuple(found), prompt="", answer="")
    ceiling = ceiling_tokens(extremes, GEOMETRY)
    assert ceiling == max(GEOMETRY.image_tokens(w, h, 10**12) for w, h in found)
    assert worst_photo(extremes, GEOMETRY, ceiling * 784).image_tokens == ceiling
