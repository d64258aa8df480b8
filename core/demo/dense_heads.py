"""Per-glyph supervision of the image tokens; used while the base is made, then thrown away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.demo.lexicon import is_hangul, letters_of, readable_characters
from core.demo.practice import PracticeBatch

_ROW_STEP = 64  # glyphs
QUARTERS = 4  # an image token covers four 14 px patches, each read on its own
_TYPICAL_HEIGHT = 30.0  # px
_LETTERS = (19, 21, 28)  # initials, vowels and finals of Hangul
_WEIGHTS = {
    "detect": 2.0,
    "glyph": 1.0,
    "letters": 1.0,
    "previous": 0.4,
    "starts": 0.2,
    "height": 0.3,
}


@dataclass(frozen=True, slots=True)
class DenseResult:
    """The weighted ``loss`` and the shares of glyphs found and read, 0 to 1."""

    loss: Tensor
    parts: dict[str, float]


class DenseHeads(nn.Module):
    """Small linear heads on image tokens of shape (batch, cells, hidden).

    Glyphs are scored against the language model's own embeddings, so that an image token comes
    to look like the tokens of the syllables that lie in it.
    """

    def __init__(self, hidden: int, glyph_ids: Tensor) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.detect = nn.Linear(hidden, QUARTERS)
        self.starts = nn.Linear(hidden, QUARTERS)
        self.height = nn.Linear(hidden, QUARTERS)
        self.glyph = nn.Linear(hidden, QUARTERS * hidden)
        self.previous = nn.Linear(hidden, QUARTERS * hidden)
        self.none = nn.Parameter(torch.randn(1, hidden) * 0.06)
        self.letters = nn.Linear(hidden, sum(_LETTERS))
        self.register_buffer("glyph_ids", glyph_ids, persistent=False)
        self.register_buffer("letter_ids", _letter_table(), persistent=False)

    def forward(self, cells: Tensor, embeddings: Tensor, batch: PracticeBatch) -> DenseResult:
        """Losses against the glyphs that the renderer placed."""
        cells = self.norm(cells)
        # Some glyphs count twice, so that few row counts occur: each new one costs preparation.
        count = len(batch.glyphs)
        chosen = torch.arange(-(-count // _ROW_STEP) * _ROW_STEP) % count
        image, cell, quarter, char, previous, starts = torch.from_numpy(batch.glyphs)[
            chosen
        ].unbind(1)
        present = torch.zeros(*cells.shape[:2], QUARTERS)
        present[image, cell, quarter] = 1.0
        at, rows = cells[image, cell], torch.arange(len(image))
        alphabet = torch.cat([embeddings[self.get_buffer("glyph_ids")], self.none])
        reading = self._read(self.glyph, at, quarter)
        glyph = (reading @ alphabet[:-1].T).float()
        before = (self._read(self.previous, at, quarter) @ alphabet.T).float()
        begins = self.starts(at)[rows, quarter].float()
        height = torch.log(torch.from_numpy(batch.heights)[chosen] / _TYPICAL_HEIGHT)
        losses = {
            "detect": self._detection_loss(cells, present),
            "glyph": functional.cross_entropy(glyph, char),
            "letters": self._letter_loss(reading, char),
            "previous": functional.cross_entropy(before, previous),
            "starts": functional.binary_cross_entropy_with_logits(begins, starts.float()),
            "height": functional.smooth_l1_loss(self.height(at)[rows, quarter].float(), height),
        }
        parts = {name: float(value.detach()) for name, value in losses.items()}
        parts["read"] = float((glyph.argmax(1) == char).float().mean())
        parts["read_before"] = float((before.argmax(1) == previous).float().mean())
        weighted = [_WEIGHTS[name] * value for name, value in losses.items()]
        return DenseResult(torch.stack(weighted).sum(), parts)

    def _detection_loss(self, cells: Tensor, present: Tensor) -> Tensor:
        """Tells the quarters that hold a glyph centre from the many that hold none."""
        found = self.detect(cells).float()
        return functional.binary_cross_entropy_with_logits(
            found, present, pos_weight=torch.tensor(3.0)
        )

    def _letter_loss(self, reading: Tensor, char: Tensor) -> Tensor:
        """Reads the letters of each syllable: what one syllable teaches helps all others."""
        truth = self.get_buffer("letter_ids")[char]
        guesses = self.letters(reading).float().split(_LETTERS, dim=1)
        losses = [
            functional.cross_entropy(guess, truth[:, index], ignore_index=-1)
            for index, guess in enumerate(guesses)
        ]
        return torch.stack(losses).mean()

    @staticmethod
    def _read(head: nn.Linear, at: Tensor, quarter: Tensor) -> Tensor:
        """The reading vector (glyphs, hidden) of the quarter that each glyph lies in."""
        vectors: Tensor = head(at).view(len(at), QUARTERS, -1)
        return vectors[torch.arange(len(at)), quarter]


def _letter_table() -> Tensor:
    """The letters of every readable character, shape (characters, 3); -1 where it has none."""
    rows = [letters_of(char) if is_hangul(char) else (-1, -1, -1) for char in readable_characters()]
    return torch.tensor(rows)
