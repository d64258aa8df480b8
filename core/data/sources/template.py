"""How a store's names become the text to write: ``{korean} ({english})``."""

import re
import string

from core.errors import UsageError

DEFAULT = "{korean} ({english})"
FIELDS = ("korean", "english", "business_category", "item_sub_category", "location")
_GROUP = re.compile(r"\s*[(\[][^()\[\]]*\{\w+\}[^()\[\]]*[)\]]")
_NAME = re.compile(r"\{(\w+)\}")
_ONLY_A_GROUP = re.compile(r"[(\[]([^()\[\]]*)[)\]]")


def check(template: str) -> str:
    """The template itself; raises UsageError for a field that there is none of."""
    try:
        names = [name for _text, name, _spec, _conv in string.Formatter().parse(template) if name]
    except ValueError as error:
        raise UsageError(f"--template {template!r}: {error}") from None
    unknown = [name for name in names if name not in FIELDS]
    if unknown or not names:
        wrong = f"no field {unknown[0]!r}" if unknown else "no field at all"
        raise UsageError(f"--template {template!r}: {wrong}; the fields are {', '.join(FIELDS)}")
    return template


def fill(template: str, values: dict[str, str]) -> str:
    """The template with its fields filled in.

    A part in brackets goes where a field in it is empty; brackets around all that is left go too.
    """

    def group(match: re.Match[str]) -> str:
        names = _NAME.findall(match[0])
        return match[0] if all(values.get(name) for name in names) else ""

    def filled(text: str) -> str:
        return " ".join(_NAME.sub(lambda match: values.get(match[1], ""), text).split())

    kept = _GROUP.sub(group, template)
    text = filled(kept)
    alone = _ONLY_A_GROUP.fullmatch(text)
    return alone[1].strip() if alone and not filled(_GROUP.sub("", kept)) else text
