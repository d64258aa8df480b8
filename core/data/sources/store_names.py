"""Store names: one JSON with ``images[]`` of file names, Korean and English names, categories."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.data.schemas import clean
from core.data.sources import template as templates
from core.data.sources.items import (
    Item,
    Labelled,
    Rejected,
    decode_file,
    each_decoded,
    read_json,
)


class StoreFile(msgspec.Struct, frozen=True):
    """The whole file, its elements not looked into yet."""

    images: list[msgspec.Raw]


class Store(msgspec.Struct, frozen=True, rename={"file_name": "fileName"}):
    """One photo of one store."""

    file_name: str
    store_kor_name: str | None = None
    store_eng_name: str | None = None
    business_category: Any = None
    item_sub_category: Any = None
    location: Any = None


def read(path: Path, template: str) -> Iterator[Item]:
    """A row a photo, its answer by ``template``."""
    file = decode_file(read_json(path), path, StoreFile)
    for place, store in each_decoded(f"{path.name} images", file.images, Store):
        yield store if isinstance(store, Rejected) else _row(place, store, template)


def _row(place: str, store: Store, template: str) -> Labelled:
    names = {
        "korean": clean(store.store_kor_name or ""),
        "english": clean(store.store_eng_name or ""),
    }
    others = {
        "business_category": store.business_category,
        "item_sub_category": store.item_sub_category,
        "location": store.location,
    }
    texts = {key: value if isinstance(value, str) else "" for key, value in others.items()}
    kept = {**others, "store_kor_name": names["korean"], "store_eng_name": names["english"]}
    return Labelled(
        place=place,
        image=store.file_name,
        answer=templates.fill(template, {**names, **texts}),
        metadata={key: value for key, value in kept.items() if value not in (None, "")},
    )
