"""Which rows are read side by side: a pure function of the rows."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.labels import LabelledRow
from core.read.reader import Photo
from core.read.rows import batches_of

SIDES = st.integers(1, 2000)


@st.composite
def labelled(draw: st.DrawFn) -> list[LabelledRow]:
    sizes = draw(st.lists(st.none() | st.tuples(SIDES, SIDES), max_size=30))
    return [
        LabelledRow(
            line=line,
            image=f"{line}.jpg",
            name=f"{line}.jpg",
            prompt="가",
            truth="나" * draw(st.integers(1, 4)),
            size=size,
            why=None if size else "no such file",
        )
        for line, size in enumerate(sizes, start=1)
    ]


def area(photo: Photo) -> int:
    return photo.size[0] * photo.size[1] if photo.size else 0


@given(rows=labelled(), at_a_time=st.integers(1, 9), shuffled=st.randoms())
def test_every_row_is_in_one_batch_the_longest_first(
    rows: list[LabelledRow], at_a_time: int, shuffled: Random
) -> None:
    batches = batches_of(rows, at_a_time, area)
    read = [row for batch in batches for row in batch]
    assert sorted(read, key=lambda row: row.line) == rows
    assert all(len(batch) == at_a_time for batch in batches[:-1])
    readable = [row for row in read if row.why is None]
    assert read[: len(readable)] == readable
    lengths = [(area(Photo(row.image, row.prompt, row.size, None)), row.truth) for row in readable]
    assert lengths == sorted(lengths, reverse=True)
    other = list(rows)
    shuffled.shuffle(other)
    assert batches_of(other, at_a_time, area) == batches
