"""Replies that decline to read, and replies that are far longer than a name."""

import re

from core.nfc import nfc

_KOREAN = (
    r"죄송(?:합니다|하지만|해요)",
    r"(?:읽|알아볼|알아보|확인할|식별할|판독할|인식할|파악할|제공할|도와드릴|답변할|찾을|볼)"
    r" ?(?:을 )?수(?:가)? ?없",
    r"판독 ?불가",
    r"(?:글자|글씨|텍스트|문자|간판|상호(?:명)?)(?:이|가|은|는)? ?(?:잘 )?(?:없(?:습니다|어요|음)|"
    r"보이지 않|안 보)",
)
_ENGLISH = (
    r"\b(?:i'?m|i am|we'?re|we are) (?:very |really |so )?sorry\b",
    r"^(?:sorry|unfortunately|i apologi[sz]e)\b",
    r"\b(?:can ?not|can'?t|could ?n[o']t|could not|unable to|not able to) (?:\w+ ){0,2}"
    r"(?:read|see|make out|recogni[sz]e|identify|determine|discern|decipher|assist|help|provide|"
    r"find|extract|view)\b",
    r"\b(?:no|any) (?:visible |legible |readable )?text (?:is |was |can be |could be )?"
    r"(?:visible|found|present|detected|seen|in (?:the|this) (?:image|picture|photo|sign))\b",
    r"\b(?:there is|contains|shows|has) no (?:visible |legible |readable )?text\b",
    r"\b(?:illegible|unreadable|not (?:clearly )?(?:legible|readable))\b",
    r"\bas an ai\b",
)
_REFUSAL = re.compile("|".join((*_KOREAN, *_ENGLISH)), re.IGNORECASE)
# A refusal says so at once; a million characters are not worth looking through.
_LOOKED_AT = 2000
_TIMES, _MORE = 2, 20


def is_refusal(reply: str) -> bool:
    """Whether a reply declines to read, in Korean or English.

    Korean: an apology, "can't be read" and its like, "판독 불가", "there is no text" or "no sign".
    English: an apology, can't or unable to read, see, make out and their like, no text in the
    image, illegible, unreadable, "as an AI". Judged by the reply's words alone, and its first 2,000
    characters.
    """
    return _REFUSAL.search(nfc(reply)[:_LOOKED_AT].replace("’", "'")) is not None


def is_over_long(truth: str, reply: str) -> bool:
    """Whether a reply has over twice the truth's characters and 20 more (NFC, no outer blanks).

    A phone number beside a name stays below that, a sentence about the picture doesn't.
    """
    return len(nfc(reply).strip()) > _TIMES * len(nfc(truth).strip()) + _MORE
