"""K-STR-Bench's two measures, by the rules of its own scorer.

Han and Hong, "K-STR-Bench: A Challenge-Aware Benchmark Suite for Korean Scene Text Recognition",
ACCV 2026; github.com/hoonisone/K-STR-Bench, docs/how_to_eval.md and
kstrbench/eval/steps/score_infer_csv.py:

- All white space is dropped before a comparison; upper and lower case differ.
- Word accuracy is 1 where the prediction equals the label, else 0.
- Jaso 1-NED splits syllables into initial, vowel and final, takes the Levenshtein distance, and
  divides by the longer sequence's length.
- ``□`` in a label stands for what its annotator couldn't read: it takes none or one character of
  the prediction at no cost (as jaso it is three such), and doesn't count in the label's length.

Two things are ours: texts are compared in NFC, and a row without a prediction is wrong, which the
bench leaves out of its averages.
"""

from collections.abc import Sequence

from core.evaluate.jaso import jaso, one_minus_ned
from core.nfc import nfc

WILDCARD = "□"
_LETTERS_A_SYLLABLE = 3


def kstr_word(truth: str, answer: str) -> bool:
    """Whether the answer is the truth's word."""
    label, word = _packed(truth), _packed(answer)
    if WILDCARD not in label:
        return label == word
    return label == word or wildcard_distance(label, word) == 0


def kstr_jaso(truth: str, answer: str) -> float:
    """1-NED of the letters, 0 to 1."""
    label, word = _packed(truth), _packed(answer)
    if label == word:
        return 1.0
    if WILDCARD not in label:
        return one_minus_ned(_letters(label), _letters(word))
    left, right = _letters(label), _letters(word)
    if left == right:
        return 1.0
    known = sum(letter != WILDCARD for letter in left)
    return 1.0 - wildcard_distance(left, right) / max(known, len(right), 1)


def wildcard_distance(label: Sequence[str], word: Sequence[str]) -> int:
    """Levenshtein distance in which a wildcard of the label takes none or one for nothing."""
    above = list(range(len(word) + 1))
    for letter in label:
        free = letter == WILDCARD
        row = [above[0] + (not free)]
        for place, other in enumerate(word):
            row.append(
                min(
                    above[place + 1] + (not free),
                    row[place] + 1,
                    above[place] + (not free and letter != other),
                )
            )
        above = row
    return above[-1]


def _packed(text: str) -> str:
    return "".join(nfc(text).split())


def _letters(text: str) -> str:
    return jaso(text.replace(WILDCARD, WILDCARD * _LETTERS_A_SYLLABLE))
