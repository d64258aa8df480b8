"""Reads signs as anyone would, with plain transformers and peft; nothing of ours takes part.

``python plain_reader.py REQUEST ANSWER`` reads a PlainRequest and writes a PlainAnswer.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
)

IMAGE_TOKEN = "<|image_pad|>"
_OURS = ("core", "kocr_tui")


class PlainRow(msgspec.Struct, frozen=True):
    """An upright photo's file, and what is asked of it."""

    photo: str
    prompt: str


class PlainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to read, and with which model: a folder or a hub id, and an ``adapter`` beside it.

    ``dtype`` is torch's name of a number format, ``nf4`` keeps the language model in 4 bits.
    ``bounds`` are ``min_pixels`` and ``max_pixels`` where the model's own aren't wanted, and
    ``generation`` what its generation_config.json doesn't say. ``threads`` are the processor's.
    ``digests`` asks for those of the tensors.
    """

    model: str
    revision: str | None = None
    adapter: str | None = None
    dtype: str
    nf4: bool = False
    device: str
    threads: int
    bounds: dict[str, int] = {}
    generation: dict[str, Any] = {}
    digests: bool = True
    rows: tuple[PlainRow, ...]


class PlainAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The replies; SHA-256 (hex) of the tensors read with, by name, and of each row's inputs."""

    tensors: dict[str, str]
    inputs: tuple[str, ...]
    replies: tuple[str, ...]


def answer(
    request: PlainRequest, tell: Callable[[int, int], None], model: Any = None
) -> PlainAnswer:
    """Reads all rows one by one, greedily as the request says, with a ``model`` if it is given.

    Only the adapter's tensors are told of where there is one. ``tell`` hears how many are read.
    """
    torch.set_num_threads(request.threads)
    if model is None:
        model = load(request)
    only = ".lora_" if request.adapter is not None else ""
    named = model.state_dict().items() if request.digests else ()
    tensors = {name: digest(value) for name, value in named if only in name}
    model = model.to(request.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(
        request.model, revision=request.revision, trust_remote_code=False
    )
    images = AutoImageProcessor.from_pretrained(
        request.model, revision=request.revision, trust_remote_code=False, **request.bounds
    )
    inputs: list[str] = []
    replies: list[str] = []
    for row in request.rows:
        taken = inputs_of(row, tokenizer, images)
        inputs.append(hashlib.sha256("".join(map(digest, taken.values())).encode()).hexdigest())
        replies.append(_read(model, tokenizer, taken, request))
        tell(len(replies), len(request.rows))
    return PlainAnswer(tensors=tensors, inputs=tuple(inputs), replies=tuple(replies))


def load(request: PlainRequest) -> Any:
    """The model that a request names, on the CPU or where 4-bit weights have to be."""
    dtype = getattr(torch, request.dtype)
    options: dict[str, Any] = {}
    if request.nf4:
        options["device_map"] = {"": request.device}
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=["model.visual", "visual", "lm_head"],
        )
    model = AutoModelForImageTextToText.from_pretrained(
        request.model,
        revision=request.revision,
        dtype=dtype,
        attn_implementation="sdpa",
        trust_remote_code=False,
        **options,
    )
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Some processors pack weights anew, which fails where a width isn't of whole blocks.
            module.support_avx512bf16_for_cpu = False
    if request.adapter is not None:
        model = PeftModel.from_pretrained(model, request.adapter)
    return model


def inputs_of(row: PlainRow, tokenizer: Any, images: Any) -> dict[str, torch.Tensor]:
    """What the model takes of a row: the chat with a place for every image token, and pixels."""
    with Image.open(row.photo) as photo:
        pixels = images(images=[photo.convert("RGB")], return_tensors="pt")
    content = [{"type": "image"}, {"type": "text", "text": row.prompt}]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    places = int(pixels["image_grid_thw"].prod()) // images.merge_size**2
    text = tokenizer(chat.replace(IMAGE_TOKEN, IMAGE_TOKEN * places), return_tensors="pt")
    image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return {
        "input_ids": text["input_ids"],
        "attention_mask": text["attention_mask"],
        "mm_token_type_ids": (text["input_ids"] == image_token_id).int(),
        "pixel_values": pixels["pixel_values"],
        "image_grid_thw": pixels["image_grid_thw"],
    }


@torch.inference_mode()
def _read(
    model: Any, tokenizer: Any, inputs: dict[str, torch.Tensor], request: PlainRequest
) -> str:
    here = {name: value.to(request.device) for name, value in inputs.items()}
    tokens = model.generate(**here, **request.generation)
    text: str = tokenizer.decode(tokens[0, here["input_ids"].shape[1] :], skip_special_tokens=True)
    return text


def digest(value: torch.Tensor) -> str:
    """SHA-256 (hex) of a tensor's format, shape and bytes."""
    found = hashlib.sha256(f"{value.dtype} {tuple(value.shape)}".encode())
    found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def main(arguments: list[str]) -> int:
    """Answers a request file; progress goes to standard output."""
    # Whatever still asked for one of these would fail, so none can take part.
    sys.modules.update(dict.fromkeys(_OURS))  # type: ignore[arg-type]

    def tell(done: int, total: int) -> None:
        print(done, total, flush=True)

    request = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=PlainRequest)
    Path(arguments[1]).write_bytes(msgspec.json.encode(answer(request, tell)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
