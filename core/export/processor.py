"""The image processor's files, with the pixel bounds that a run was trained at.

transformers has read those bounds from several places: ``size.shortest_edge`` and
``size.longest_edge``, over which ``min_pixels`` and ``max_pixels`` go where they are there
(5.23, models/qwen2_vl/image_processing_qwen2_vl.py; before 4.49 they alone counted), and
processor_config.json goes over preprocessor_config.json (5.23, image_processing_base.py). So all
of them are written alike.
"""

from pathlib import Path
from typing import Any

from core.config import ModelConfig
from core.errors import KocrError
from core.export.base_files import read_json, write_json

PREPROCESSOR = "preprocessor_config.json"
_VIDEO = "video_preprocessor_config.json"
_PROCESSOR = "processor_config.json"
# There the bounds of a video are for all of its frames together.
_WHOLE_VIDEOS = "qwen3_vl"


def write_processor(
    model: ModelConfig, model_type: str, folder: Path, min_pixels: int, max_pixels: int
) -> None:
    """Writes the processor files that the base has with these bounds of a photo (pixels).

    preprocessor_config.json is made where the base has none. Raises KocrError for a file that
    isn't JSON.
    """
    bounds = min_pixels, max_pixels
    nested = read_json(model, _PROCESSOR)
    photos = read_json(model, PREPROCESSOR) or (nested or {}).get("image_processor")
    if not isinstance(photos, dict):
        raise KocrError(f"{model.path}: no {PREPROCESSOR} to write the pixel budget into")
    write_json(folder / PREPROCESSOR, bounded(photos, *bounds))
    videos = read_json(model, _VIDEO)
    if videos is not None:
        write_json(folder / _VIDEO, _bounded_video(videos, model_type, *bounds))
    if nested is not None:
        if isinstance(nested.get("image_processor"), dict):
            nested["image_processor"] = bounded(nested["image_processor"], *bounds)
        if isinstance(nested.get("video_processor"), dict):
            video = nested["video_processor"]
            nested["video_processor"] = _bounded_video(video, model_type, *bounds)
        write_json(folder / _PROCESSOR, nested)


def bounded(config: dict[str, Any], min_pixels: int, max_pixels: int) -> dict[str, Any]:
    """A processor's config with these bounds everywhere where some version looks for them."""
    return config | {
        "size": {"shortest_edge": min_pixels, "longest_edge": max_pixels},
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
    }


def _bounded_video(
    config: dict[str, Any], model_type: str, min_pixels: int, max_pixels: int
) -> dict[str, Any]:
    """No frame takes more than a photo, nor less than the base's own bound of one."""
    if model_type == _WHOLE_VIDEOS:
        return config
    floor = config.get("min_pixels") or config.get("size", {}).get("shortest_edge") or min_pixels
    return bounded(config, min(floor, max_pixels), max_pixels)
