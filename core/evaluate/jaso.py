"""Texts as Korean letters (jaso): a wrong final consonant is a third of a syllable, not all."""

from core.nfc import nfc

_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_FIRST, _SYLLABLES = 0xAC00, 19 * 21 * 28


def _letters(place: int) -> str:
    """The letters of a syllable (The Unicode Standard, section 3.12, without the final's blank)."""
    initial, rest = divmod(place, 21 * 28)
    vowel, final = divmod(rest, 28)
    return _INITIALS[initial] + _VOWELS[vowel] + (_FINALS[final - 1] if final else "")


# Conjoining jamo that NFC leaves alone, because they make no syllable, are the same letters.
_TABLE = {
    **{_FIRST + place: _letters(place) for place in range(_SYLLABLES)},
    **{0x1100 + place: letter for place, letter in enumerate(_INITIALS)},
    **{0x1161 + place: letter for place, letter in enumerate(_VOWELS)},
    **{0x11A8 + place: letter for place, letter in enumerate(_FINALS)},
}


def jaso(text: str) -> str:
    """``text`` in NFC, each Hangul syllable as two or three compatibility jamo (U+3131 to U+3163).

    ㄱ is the same letter at a syllable's begin, at its end and by itself; ㄳ or ㅘ is one letter.
    """
    return nfc(text).translate(_TABLE)


def one_minus_ned(a: str, b: str) -> float:
    """1 - Levenshtein distance over the longer text's length, 0 to 1; 1 for two empty texts.

    The measure of ICDAR 2019's ReCTS and ArT (Zhang et al. 2019, arXiv 1912.09641) for one pair.
    """
    from rapidfuzz.distance import Levenshtein

    longest = max(len(a), len(b))
    return 1.0 - Levenshtein.distance(a, b) / longest if longest else 1.0
