"""Builds the tiny Qwen2-VL of the demo: configuration, tokenizer and image processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from core.demo.lexicon import is_hangul, letters_of, readable_characters, readable_syllables

HIDDEN = 160  # width of the vision tower, of the language model and of an image token
_SPREAD = 0.06  # standard deviation of new weights
_FOCUS = 4.0  # how sharply a new vision head looks at its place; larger is sharper
CELL = 28  # pixels per image token along one side

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Merged so that the fixed part of every prompt stays short; a leading space is part of a word.
_PROMPT_WORDS = ("system", "user", "assistant", "You", "are", "helpful")
_SPACED_WORDS = ("assistant", "are", "helpful", "a")

CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> Qwen2Tokenizer:
    """A byte-level Qwen2 tokenizer in which every readable Hangul syllable is one token."""
    merges = _merges()
    pieces = [*_byte_characters(), *("".join(pair) for pair in merges)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    for token in SPECIAL_TOKENS:
        vocabulary[token] = len(vocabulary)
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
    )


def build_config(tokenizer: Qwen2Tokenizer) -> Qwen2VLConfig:
    """The architecture: 3.7 million parameters, five vision blocks, four text layers."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    return Qwen2VLConfig(
        text_config=_text_config(len(tokenizer), ids),
        vision_config={
            "depth": 5,
            "embed_dim": HIDDEN,
            "hidden_size": HIDDEN,
            "num_heads": 4,
            "mlp_ratio": 4,
            "initializer_range": _SPREAD,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def _text_config(vocabulary: int, ids: Mapping[str, int]) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": 432,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 1024,
        "initializer_range": _SPREAD,
        "rms_norm_eps": 1e-6,
        # The slowest frequencies, the width axis, leave room to match tokens by what they are.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [4, 8, 8],
        },
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "tie_word_embeddings": True,
    }


def build_model(config: Qwen2VLConfig) -> Qwen2VLForConditionalGeneration:
    """An untrained model in float32; the weights follow torch's global seed."""
    model = Qwen2VLForConditionalGeneration(config)
    eos = [config.text_config.eos_token_id, config.text_config.bos_token_id]
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=config.text_config.bos_token_id,
        eos_token_id=eos,
        pad_token_id=config.text_config.pad_token_id,
    )
    return model


@torch.no_grad()
def compose_embeddings(model: Qwen2VLForConditionalGeneration, tokenizer: Qwen2Tokenizer) -> None:
    """Starts every syllable's embedding as the sum of its letters, which look alike as well."""
    tables = [torch.randn(count, HIDDEN) * _SPREAD for count in (19, 21, 28)]
    weights = model.model.language_model.embed_tokens.weight
    for char in readable_syllables():
        own = torch.randn(HIDDEN) * _SPREAD
        parts = [table[letter] for table, letter in zip(tables, letters_of(char), strict=True)]
        weights[tokenizer(char).input_ids[0]] = torch.stack([*parts, own]).sum(0) / 2


@torch.no_grad()
def localize_attention(model: Qwen2VLForConditionalGeneration) -> None:
    """Starts every vision head looking at patches near its own, each head to another side.

    The query and key biases alone make a score that depends on the distance only: through the
    rotary positions it is a sum of cosines with its peak at the wanted offset.
    """
    visual = model.model.visual
    frequencies = visual.rotary_pos_emb.inv_freq
    sides = ((0.0, -1.0), (0.0, 1.0), (-1.0, 0.0), (1.0, 0.0))
    for depth, block in enumerate(visual.blocks):
        reach = 1.0 + 0.5 * (depth % 3)  # patches
        block.attn.qkv.weight[: 2 * HIDDEN] *= 0.5
        bias = block.attn.qkv.bias.view(3, visual.config.num_heads, -1)
        for head, (down, across) in enumerate(sides):
            offset = torch.cat([frequencies * down, frequencies * across]) * reach
            bias[0, head] = torch.cat([offset.cos(), offset.sin()]) * _FOCUS
            bias[1, head] = torch.cat([torch.ones_like(offset), torch.zeros_like(offset)]) * _FOCUS


@torch.no_grad()
def start_with_cosines(model: Qwen2VLForConditionalGeneration) -> None:
    """Starts the patch embedding as a cosine transform: strokes count more than colours."""
    weights = model.model.visual.patch_embed.proj.weight  # (hidden, channels, frames, 14, 14)
    places = (torch.arange(14) + 0.5) * torch.pi / 14
    waves = torch.stack([(places * k).cos() for k in range(14)])
    waves /= waves.norm(dim=1, keepdim=True)
    orders = sorted(((i, j) for i in range(14) for j in range(14)), key=lambda o: (sum(o), o))
    luminance = torch.tensor([0.3, 0.59, 0.11])
    weights.zero_()
    for row, (down, across) in enumerate(orders[: HIDDEN - 6]):
        strength = 0.1 if down == across == 0 else 0.25 * (1 + (down + across) / 4)
        picture = torch.outer(waves[down], waves[across]) * strength
        weights[row] = luminance[:, None, None, None] * picture
    for channel in range(3):
        weights[HIDDEN - 6 + channel, channel] = 0.1 / 14
    weights += torch.randn_like(weights) * 0.002


def save_processor(folder: Path, tokenizer: Qwen2Tokenizer, patch: int = 14) -> None:
    """Writes the tokenizer and the image processor files of a ``from_pretrained`` folder.

    The processor files are written as plain JSON: the stock processor class cannot be built
    where torchvision is missing, but its files can be read wherever it is installed.
    """
    tokenizer.save_pretrained(str(folder))
    image = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "merge_size": 2,
        "patch_size": patch,
        "processor_class": "Qwen2VLProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 16 * patch**2, "longest_edge": 140 * (2 * patch) ** 2},
        "temporal_patch_size": 2,
    }
    text = json.dumps(image, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def _byte_characters() -> list[str]:
    """The printable stand-in of each byte value 0 to 255, as byte-level BPE writes it."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {byte: 256 + index for index, byte in enumerate(others)}
    return [chr(shifted.get(byte, byte)) for byte in range(256)]


def _merges() -> list[tuple[str, str]]:
    alphabet = _byte_characters()
    merges: list[tuple[str, str]] = []
    for char in readable_characters():
        if is_hangul(char):
            first, second, third = (alphabet[byte] for byte in char.encode())
            merges += [(first, second), (first + second, third)]
    for word in _PROMPT_WORDS:
        merges += [(word[:end], word[end]) for end in range(1, len(word))]
    merges += [(alphabet[ord(" ")], word) for word in _SPACED_WORDS]
    return list(dict.fromkeys(merges))
