"""Untrained checkpoints of other readers, made on the spot and saved as they are published."""

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    DonutImageProcessor,
    DonutProcessor,
    DonutSwinConfig,
    DonutSwinModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MBartConfig,
    MBartForCausalLM,
    VisionEncoderDecoderModel,
    XLMRobertaTokenizer,
)

from core.demo.base_model import build_tokenizer

_WIDTH = 32
TASK = "<s_signs>"
LLAVA_TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image_pad|>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def make_llava(folder: Path) -> Path:
    """A LLaVA of two layers and 16 image tokens a photo, with the demo's tokenizer."""
    tokenizer = build_tokenizer()
    tokenizer.image_token = "<|image_pad|>"
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=_WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        images,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<|image_pad|>",
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def make_donut(folder: Path) -> Path:
    """A Donut of two stages and one decoder layer, fine-tuned for one task of its own."""
    letters = "가나다라마바사아자차카타파하"
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "▁", *letters]
    tokenizer = XLMRobertaTokenizer(vocab=[(piece, -1.0) for piece in pieces])
    tokenizer.add_tokens(["<s_iitcdip>", "<s_synthdog>", "<s_name>", "</s_name>", TASK])
    torch.manual_seed(0)
    encoder = DonutSwinConfig(
        image_size=[64, 96], embed_dim=16, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    decoder = MBartConfig(
        vocab_size=len(tokenizer),
        d_model=encoder.hidden_size,
        decoder_layers=1,
        decoder_ffn_dim=64,
        decoder_attention_heads=2,
        max_position_embeddings=128,
        is_decoder=True,
        add_cross_attention=True,
        init_std=0.5,
    )
    model = VisionEncoderDecoderModel(
        encoder=DonutSwinModel(encoder), decoder=MBartForCausalLM(decoder)
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    images = DonutImageProcessor(size={"height": 64, "width": 96})
    DonutProcessor(images, tokenizer).save_pretrained(folder)
    return folder
