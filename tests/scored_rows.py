"""Scored predictions of made-up rows, as a reader would have left them."""

from pathlib import Path

from core.evaluate.predictions import ReadRow, row_id
from core.evaluate.summary import scored

PROMPT = "이 간판 이미지의 텍스트를 읽어주세요."


def scored_row(
    row: int,
    truth: str,
    reply: str | None,
    *,
    image: Path | str = "none.jpg",
    why: str | None = None,
    category: str | None = None,
) -> ReadRow:
    """Row number ``row`` with its reply, which has no part in its id."""
    return scored(
        ReadRow(
            row=row,
            id=row_id(f"{row:064x}", str(image), PROMPT, truth),
            image=str(image),
            prompt=PROMPT,
            truth=truth,
            reply=reply,
            why=why,
            size=(800, 600),
            read_size=(392, 308),
            metadata={"business_category": category} if category else None,
        )
    )
