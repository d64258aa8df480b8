"""Rows and photos as a user has them."""

from PIL import Image

# How an upright photo is turned to be stored under each EXIF orientation.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

PROMPT = "이 간판 이미지의 텍스트를 읽어주세요."


def chat_row(image: str, answer: str, prompt: str = PROMPT) -> dict[str, object]:
    """A Qwen2-VL chat with one photo and the store's name."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
    reply = [{"type": "text", "text": answer}]
    return {
        "messages": [
            {"role": "user", "content": content},
            {"role": "assistant", "content": reply},
        ]
    }
