"""Which rows make up each optimizer step, and how they are packed."""

from dataclasses import dataclass

from core.data.dataset import Numbers, SignRows
from core.data.order import step_rows, steps_per_epoch
from core.data.pack import pack
from core.data.samples import Sample
from core.events import Setup
from core.model.processing import Processing


@dataclass(frozen=True)
class Certified:
    """The largest sample that was proved to fit, in tokens; 0 where that isn't known."""

    image_tokens: int = 0
    text_tokens: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, setup: Setup) -> "Certified":
        """A setup whose image tokens aren't known was never probed."""
        if not setup.image_tokens:
            return cls()
        return cls(setup.image_tokens, setup.text_tokens, setup.micro_batch_tokens)

    def excess(self, sample: Sample) -> str | None:
        """In which way a sample is larger than what was proved to fit; None if it isn't."""
        text_tokens = len(sample) - sample.image_tokens
        for count, most, kind in (
            (sample.image_tokens, self.image_tokens, "image tokens"),
            (text_tokens, self.text_tokens, "text tokens"),
            (len(sample), self.tokens, "tokens in all"),
        ):
            if most and count > most:
                return f"{count:,} {kind}, more than the {most:,} that were proved to fit"
        return None


@dataclass(frozen=True)
class StepPlan:
    """Which rows make up each optimizer step, and how they are packed.

    ``lengths`` (n,) are the tokens that a row counts as: every text as the longest that was
    certified, so that short ones don't make room for more photos than were proved to fit.
    ``budget`` is what a micro-batch may hold, and a sample above it is alone in one. Of
    ``processes`` that train together, ``rank`` takes every ``processes``-th row. A row larger than
    what is ``certified`` isn't used.
    """

    seed: int
    batch: int
    budget: int
    lengths: Numbers
    rank: int = 0
    processes: int = 1
    certified: Certified = Certified()

    @classmethod
    def of(
        cls,
        rows: SignRows,
        processing: Processing,
        max_pixels: int,
        *,
        certified: Certified = Certified(),
        **settings: int,
    ) -> "StepPlan":
        """For rows at a pixel budget; ``settings`` are the other fields."""
        images = rows.image_tokens(processing.geometry, max_pixels)
        template = processing.text.token_count("", "")
        # A byte-level tokenizer makes no more tokens of a text than it has bytes.
        texts = certified.text_tokens or rows.text_bytes + template
        return cls(lengths=images + texts, certified=certified, **settings)

    @property
    def steps_an_epoch(self) -> int:
        """Optimizer steps an epoch."""
        return steps_per_epoch(len(self.lengths), self.batch)

    def rows_in(self, step: int) -> int:
        """Samples of all processes in a step."""
        return len(step_rows(self.seed, step, len(self.lengths), self.batch))

    def micro_batches(self, step: int) -> tuple[list[list[int]], bool]:
        """Row indices of each micro-batch of a step, and whether they count.

        At an epoch's end a process may be left without a row; it takes one that doesn't count.
        """
        everyone = step_rows(self.seed, step, len(self.lengths), self.batch)
        rows = everyone[self.rank :: self.processes]
        counts = len(rows) > 0
        if not counts:
            rows = everyone[:1]
        groups = pack(self.lengths[rows].tolist(), self.budget)
        return [[int(rows[place]) for place in group] for group in groups], counts

    def counted(self, sample: Sample) -> int:
        """The tokens that a sample counts as."""
        return max(len(sample), sample.image_tokens + self.certified.text_tokens)

    def largest_shared(self, step: int) -> int:
        """Most tokens of a micro-batch of a step that has more than one sample; 0 if none has."""
        groups, _counts = self.micro_batches(step)
        shared = [int(self.lengths[group].sum()) for group in groups if len(group) > 1]
        return max(shared, default=0)
