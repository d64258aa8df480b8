"""The forms in which a shop's name is accepted: Korean, English, or both in either order."""

import re
from collections.abc import Mapping

from core.evaluate.text import normalize, same_text
from core.nfc import nfc
from core.scripts import scripts_of

KOREAN, ENGLISH = "store_kor_name", "store_eng_name"
_BRACKETED = re.compile(r"(?P<outside>[^()（）]+?)\s*[(（](?P<inside>[^()（）]+)[)）]\s*")
# A form of one character stands in half of all replies.
_LEAST_CONTAINED = 2


def accepted_forms(truth: str, metadata: Mapping[str, object] | None = None) -> tuple[str, ...]:
    """The truth itself, then the Korean name, the English one, and both the other way round.

    The names are the metadata's ``store_kor_name`` and ``store_eng_name`` where it has them.
    Otherwise a label such as ``원마트 (ONE MART)`` has two of them if one part has Hangul and the
    other Latin letters and no Hangul; ``원마트 (본점)`` is one name. In NFC, each form once.
    """
    label = nfc(truth).strip()
    korean, english = _of_metadata(metadata) or _of_label(label)
    forms = [label, *filter(None, (korean, english))]
    if korean and english:
        forms += [f"{korean} {english}", f"{english} {korean}"]
    return tuple(dict.fromkeys(forms))


def is_accepted(forms: tuple[str, ...], answer: str) -> bool:
    """Whether the answer is one of the forms, once normalised or, where nothing remains, as is."""
    normalized = normalize(answer)
    return any(
        normalized == normalize(form) if normalized else same_text(form, answer) for form in forms
    )


def is_contained(forms: tuple[str, ...], reply: str) -> bool:
    """Whether a form of two normalised characters or more stands in the normalised reply."""
    normalized = normalize(reply)
    names = map(normalize, forms)
    return any(len(name) >= _LEAST_CONTAINED and name in normalized for name in names)


def _of_metadata(metadata: Mapping[str, object] | None) -> tuple[str, str] | None:
    named = [(metadata or {}).get(key) for key in (KOREAN, ENGLISH)]
    korean, english = (nfc(name).strip() if isinstance(name, str) else "" for name in named)
    return (korean, english) if korean or english else None


def _of_label(label: str) -> tuple[str, str]:
    match = _BRACKETED.fullmatch(label)
    if match is None:
        return "", ""
    outside, inside = match["outside"].strip(), match["inside"].strip()
    for korean, english in ((outside, inside), (inside, outside)):
        if "hangul" in scripts_of(korean) and _is_english(english):
            return korean, english
    return "", ""


def _is_english(name: str) -> bool:
    scripts = scripts_of(name)
    return "latin" in scripts and "hangul" not in scripts
