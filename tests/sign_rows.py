"""Rows as a user has them."""

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
