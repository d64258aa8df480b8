"""Python that loads an export with transformers and peft, for its model card."""

from core.exporting import Export

# What `kocr-tui convert` asks where nothing else is given.
DEFAULT_PROMPT = "이 간판 이미지의 텍스트를 읽어주세요."
_MERGED = """\
folder = "."  # where these files are
model = AutoModelForImageTextToText.from_pretrained(folder, dtype={dtype})
{move}tokenizer = AutoTokenizer.from_pretrained(folder)
images = AutoImageProcessor.from_pretrained(folder)
"""
_ADAPTER = """\
folder = "."  # where these files are
base = {base}
model = AutoModelForImageTextToText.from_pretrained(
    **base, dtype={dtype}{quantization}
)
model = PeftModel.from_pretrained(model, folder)
{move}tokenizer = AutoTokenizer.from_pretrained(**base)
images = AutoImageProcessor.from_pretrained(**base, min_pixels={fewest}, max_pixels={most})
"""
_NF4 = """,
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype={dtype},
        llm_int8_skip_modules=["model.visual", "visual", "lm_head"],
    ),"""
_MOVE = 'model.to("cuda" if torch.cuda.is_available() else "cpu")\n'
_READING = """

def read(path, prompt={prompt}):
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    pixels = images(images=[photo], return_tensors="pt")
    content = [{{"type": "image"}}, {{"type": "text", "text": prompt}}]
    chat = tokenizer.apply_chat_template(
        [{{"role": "user", "content": content}}], tokenize=False, add_generation_prompt=True
    )
    places = int(pixels["image_grid_thw"].prod()) // images.merge_size**2
    chat = chat.replace("<|image_pad|>", "<|image_pad|>" * places)
    inputs = {{**tokenizer(chat, return_tensors="pt"), **pixels}}
    pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == pad).int()
    inputs = {{name: value.to(model.device) for name, value in inputs.items()}}
    tokens = model.generate(**inputs{generation})
    reply = tokens[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(reply, skip_special_tokens=True)


print(read("sign.jpg"))
"""


def snippet(made: Export, prompt: str | None) -> str:
    """A block of code that reads ``sign.jpg``, asking ``prompt`` or what is asked by default."""
    adapter, dtype = made.kind == "adapter", f"torch.{made.dtype}"
    nf4 = adapter and made.weights == "nf4"
    names = ["AutoImageProcessor", "AutoModelForImageTextToText", "AutoTokenizer"]
    lines = ["import torch"]
    lines += ["from peft import PeftModel"] if adapter else []
    lines += ["from PIL import Image, ImageOps"]
    lines += [f"from transformers import {', '.join(names + ['BitsAndBytesConfig'] * nf4)}"]
    loading = (_ADAPTER if adapter else _MERGED).format(
        base=repr(_base(made)),
        dtype=dtype,
        move="" if nf4 else _MOVE,
        quantization=_NF4.format(dtype=dtype) if nf4 else "",
        fewest=made.min_pixels,
        most=made.max_pixels,
    )
    greedy = f", do_sample=False, repetition_penalty=1.0, max_new_tokens={made.max_new_tokens}"
    reading = _READING.format(
        prompt=repr(prompt or DEFAULT_PROMPT), generation=greedy if adapter else ""
    )
    code = "\n".join(lines) + "\n\n" + loading + reading
    return f"```python\n{code}```"


def _base(made: Export) -> dict[str, str]:
    named = {"pretrained_model_name_or_path": made.base}
    return named | ({"revision": made.revision} if made.revision else {})
