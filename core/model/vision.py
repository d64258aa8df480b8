"""What a vision tower works out from the sizes of photos, worked out before the device needs it.

transformers' towers take these as arguments; left to themselves they compute them on the device
and wait for the answer, several times a forward pass.
"""

from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from core.model.families.family import Family


@dataclass(frozen=True)
class TowerLayout:
    """Index tensors that a tower takes by name, its longest segments, and all segments' lengths.

    ``segment_lengths`` are by number of segments: photos for some layers, windows for others.
    """

    tensors: dict[str, Tensor]
    longest: dict[str, int]
    segment_lengths: dict[int, list[int]]

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for the tower."""
        return {**self.tensors, **self.longest, "segment_lengths": self.segment_lengths}

    def map(self, change: Any) -> Self:
        """The same layout with ``change`` applied to every tensor."""
        moved = {name: change(tensor) for name, tensor in self.tensors.items()}
        return type(self)(moved, self.longest, self.segment_lengths)


@dataclass(frozen=True)
class Tower:
    """How a family's tower lays out photos, with the numbers of one model's config."""

    merge: int
    patch: int
    window: int | None
    positions_a_side: int | None

    @classmethod
    def of(cls, family: Family, config: Any) -> Self:
        """``config`` is transformers' whole config of the model."""
        vision = config.vision_config
        return cls(
            merge=vision.spatial_merge_size,
            patch=vision.patch_size,
            window=vision.window_size if family.windows else None,
            positions_a_side=(
                int(vision.num_position_embeddings**0.5) if family.interpolates else None
            ),
        )

    def layout(self, grids: Tensor) -> TowerLayout:
        """The layout for photos of ``grids`` (photos, 3, in patches), on the CPU."""
        ends = get_vision_cu_seqlens(grids)
        tensors = {"position_ids": get_vision_position_ids(grids, self.merge), "cu_seqlens": ends}
        lengths = {len(ends) - 1: ends.diff().tolist()}
        longest = {"max_seqlen": max(ends.diff().tolist())}
        if self.window is not None:
            index, window_ends = get_vision_window_index(grids, self.merge, self.window, self.patch)
            tensors |= {"window_index": index, "cu_window_seqlens": window_ends}
            window_lengths = window_ends.diff().tolist()
            # As many windows as photos means that every window is a whole photo.
            lengths |= {len(window_lengths): window_lengths}
            longest["max_window_seqlen"] = max(window_lengths)
        if self.positions_a_side is not None:
            taps, weights = get_vision_interpolation_indices_and_weights(
                grids,
                self.positions_a_side,
                mode="bilinear",
                align_corners=True,
                spatial_merge_size=self.merge,
            )
            tensors |= {"interp_indices": taps, "interp_weights": weights}
        return TowerLayout(tensors, longest, lengths)
