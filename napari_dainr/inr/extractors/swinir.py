"""SwinIR: self-attention in windows (Liang et al., ICCV Workshops 2021, arXiv 2108.10257).

Tensor names are those of the authors' release.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_dainr.errors import InputError
from napari_dainr.inr.extractors.base import FeatureExtractor, Shapes, count_of

__all__ = ["SwinIr"]

_RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean of DIV2K's training images; the release subtracts it and does not store it."""
_WINDOWS_AT_ONCE = 256
_OTHER_WINDOW = -100.0
"""Added to the attention between pixels that are neighbours only because the image was rolled round."""


def _relative_places(window: int, device: torch.device) -> Tensor:
    """(w², w²) row of the bias table for each pair of pixels of a window: (Δy + w − 1)(2w − 1) + Δx + w − 1."""
    y, x = torch.meshgrid(*(torch.arange(window, device=device),) * 2, indexing="ij")
    y, x = y.reshape(-1), x.reshape(-1)
    return (y[:, None] - y[None] + window - 1) * (2 * window - 1) + x[:, None] - x[None] + window - 1


def _region(n: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(n,) which of three stretches a row of the rolled image belongs to: far from the seam, before it, behind it."""
    place = torch.arange(n, device=device)
    return (place >= n - window).long() + (place >= n - shift).long()


def _windows(x: Tensor, window: int) -> Tensor:
    """(n, y, x, c) → (n · windows, w², c)."""
    n, height, width, c = x.shape
    x = x.reshape(n, height // window, window, width // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, c)


def _image(windows: Tensor, window: int, shape: tuple[int, int, int]) -> Tensor:
    """The inverse of :func:`_windows`, for (n, y, x)."""
    n, height, width = shape
    x = windows.reshape(n, height // window, width // window, window, window, -1)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, -1)


class _Attention(nn.Module):
    """Eq. 4 of Liang et al.: softmax(Q Kᵀ / √d + B) V within a window, several heads."""

    def __init__(self, width: int, window: int, n_heads: int) -> None:
        super().__init__()
        self.window, self.n_heads = window, n_heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, n_heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, windows: Tensor, apart: Tensor | None) -> Tensor:
        """(k, w², c) windows; ``apart`` (k, w², w²) is what to add where two pixels are no neighbours."""
        k, pixels, width = windows.shape
        places = _relative_places(self.window, windows.device)
        bias = self.relative_position_bias_table[places].permute(2, 0, 1)[None]
        if apart is not None:
            bias = bias + apart[:, None]
        query, key, value = self.qkv(windows).reshape(k, pixels, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        drawn = functional.scaled_dot_product_attention(query, key, value, bias.expand(k, -1, -1, -1))
        out: Tensor = self.proj(drawn.transpose(1, 2).reshape(k, pixels, width))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class _Layer(nn.Module):
    """One Swin transformer layer, Eq. 5 of Liang et al.; every second one with windows shifted by half their size."""

    def __init__(self, width: int, window: int, n_heads: int, hidden: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = _Attention(width, window, n_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width, hidden)

    def _apart(self, shape: tuple[int, int, int], device: torch.device) -> Tensor | None:
        """(n · windows, w², w²) of 0 or −100 for shifted windows."""
        if self.shift == 0:
            return None
        n, height, width = shape
        rows = _region(height, self.window, self.shift, device)
        columns = _region(width, self.window, self.shift, device)
        region = (3 * rows[:, None] + columns[None])[None, :, :, None].expand(n, -1, -1, -1)
        region = _windows(region, self.window)[..., 0]
        return torch.where(region[:, :, None] == region[:, None, :], 0.0, _OTHER_WINDOW)

    def forward(self, x: Tensor) -> Tensor:
        """(n, y, x, c), sides that are multiples of the window."""
        shape = (x.shape[0], x.shape[1], x.shape[2])
        rolled = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2)) if self.shift else self.norm1(x)
        windows = _windows(rolled, self.window)
        apart = self._apart(shape, x.device)
        # Some windows at a time: queries, keys, values and attention of all take several times the image's memory.
        drawn = torch.cat(
            [
                self.attn(windows[k : k + _WINDOWS_AT_ONCE], None if apart is None else apart[k : k + _WINDOWS_AT_ONCE])
                for k in range(0, len(windows), _WINDOWS_AT_ONCE)
            ]
        )
        drawn = _image(drawn, self.window, shape)
        x = x + (torch.roll(drawn, (self.shift, self.shift), (1, 2)) if self.shift else drawn)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Group(nn.Module):
    """Layers of one residual Swin transformer block."""

    def __init__(self, width: int, window: int, n_heads: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Layer(width, window, n_heads, hidden, window // 2 if i % 2 else 0) for i in range(depth)
        )


class _ResidualGroup(nn.Module):
    """RSTB, Eqs. 3: layers, a convolution, and the input added."""

    def __init__(self, width: int, window: int, n_heads: int, hidden: int, depth: int, slim: bool) -> None:
        super().__init__()
        self.residual_group = _Group(width, window, n_heads, hidden, depth)
        self.conv = _closing_conv(width, slim)

    def forward(self, x: Tensor) -> Tensor:
        changed = x
        for layer in self.residual_group.blocks:
            changed = layer(changed)
        out: Tensor = self.conv(changed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return out + x


def _closing_conv(width: int, slim: bool) -> nn.Module:
    """One convolution, or in the largest published network three with a quarter of the features between."""
    if not slim:
        return nn.Conv2d(width, width, 3, padding=1)
    few = width // 4
    return nn.Sequential(
        nn.Conv2d(width, few, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(few, few, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(few, width, 3, padding=1),
    )


class _Embedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)


class SwinIr(FeatureExtractor):
    """SwinIR: shallow plus deep features, Eqs. 1 and 2 of Liang et al.; for networks trained on RGB or grey images."""

    title: ClassVar[str] = "SwinIR"
    marker: ClassVar[str] = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"
    unused: ClassVar[tuple[str, ...]] = (
        "conv_before_upsample.", "upsample.", "conv_up1.", "conv_up2.", "conv_hr.", "conv_last.",
    )  # fmt: skip

    def __init__(
        self, width: int, depths: list[int], n_heads: int, window: int, hidden: int, n_channels: int, slim: bool
    ) -> None:
        super().__init__()
        self.n_features, self.n_channels, self.window = width, n_channels, window
        self.working_floats = 13 * width + 2 * hidden
        # Not in the file: the release's networks against JPEG artefacts, alone with windows of 7, work in 0 … 255.
        self.input_range = 255.0 if window == 7 else 1.0
        self.conv_first = nn.Conv2d(n_channels, width, 3, padding=1)
        self.patch_embed = _Embedding(width)
        self.layers = nn.ModuleList(_ResidualGroup(width, window, n_heads, hidden, d, slim) for d in depths)
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = _closing_conv(width, slim)

    @classmethod
    def renamed(cls, name: str) -> str:
        """Tables that follow from the size alone are named as unused; they are computed here."""
        return f"upsample.{name}" if name.endswith((".relative_position_index", ".attn_mask")) else name

    @classmethod
    def for_shapes(cls, shapes: Shapes) -> Self:
        places, n_heads = shapes[cls.marker]
        window = (math.isqrt(places) + 1) // 2
        width, n_channels = shapes["conv_first.weight"][:2]
        if window < 2 or n_heads < 1 or width % n_heads:
            raise InputError(f"holds a SwinIR of {width} features and {n_heads} heads, which do not fit together.")
        first = "layers.{}.residual_group.blocks."
        n_groups = count_of(shapes, "layers.", ".residual_group.blocks.0.norm1.weight")
        depths = [count_of(shapes, first.format(i), ".norm1.weight") for i in range(n_groups)]
        hidden = shapes[first.format(0) + "0.mlp.fc1.weight"][0]
        return cls(width, depths, n_heads, window, hidden, n_channels, "conv_after_body.0.weight" in shapes)

    def features(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.n_channels == 3:
            x = x - x.new_tensor(_RGB_MEAN).view(1, 3, 1, 1) * self.input_range
        x = _mirrored(_mirrored(x, -2, self.window), -1, self.window)
        first = self.conv_first(x)
        x = self.patch_embed.norm(first.permute(0, 2, 3, 1))
        for layer in self.layers:
            x = layer(x)
        deep = self.conv_after_body(self.norm(x).permute(0, 3, 1, 2))
        out: Tensor = (deep + first)[..., :height, :width]
        return out


def _mirrored(x: Tensor, axis: int, window: int) -> Tensor:
    """Lengthen an axis to a multiple of the window by reflection at its end, as often as needed."""
    n = x.shape[axis]
    whole = -(-n // window) * window
    if whole == n:
        return x
    place = torch.arange(whole, device=x.device) % max(2 * n - 2, 1)
    return x.index_select(axis, torch.minimum(place, (2 * n - 2 - place).abs()))
