"""Extractors: layouts and sizes of the published files, values by formulas written anew, and files that are wrong.

The layouts below are written from the papers' tables and the key names of the public releases, not from the package.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from napari_dainr.errors import InputError
from napari_dainr.inr.extractors import ARCHITECTURES, BUNDLED, load_extractor

Layout = dict[str, tuple[int, ...]]
Weights = dict[str, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the engine runs it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def conv(name: str, n_in: int, n_out: int, size: int = 3) -> Layout:
    return {f"{name}.weight": (n_out, n_in, size, size), f"{name}.bias": (n_out,)}


def linear(name: str, n_in: int, n_out: int) -> Layout:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def norm(name: str, n: int) -> Layout:
    return {f"{name}.weight": (n,), f"{name}.bias": (n,)}


def block(name: str, width: int, size: int = 3) -> Layout:
    return conv(f"{name}.body.0", width, width, size) | conv(f"{name}.body.2", width, width, size)


def edsr(blocks: int, width: int) -> Layout:
    layout = conv("sub_mean", 3, 3, 1) | conv("add_mean", 3, 3, 1) | conv("head.0", 3, width)
    for i in range(blocks):
        layout |= block(f"body.{i}", width)
    layout |= conv(f"body.{blocks}", width, width)
    return layout | conv("tail.0.0", width, 4 * width) | conv("tail.1", width, 3)


def mdsr(blocks: int, width: int) -> Layout:
    layout = conv("sub_mean", 3, 3, 1) | conv("add_mean", 3, 3, 1) | conv("head.0", 3, width)
    for scale in range(3):
        layout |= block(f"pre_process.{scale}.0", width, 5) | block(f"pre_process.{scale}.1", width, 5)
    for i in range(blocks):
        layout |= block(f"body.{i}", width)
    layout |= conv(f"body.{blocks}", width, width)
    layout |= conv("upsample.0.0", width, 4 * width) | conv("upsample.1.0", width, 9 * width)
    layout |= conv("upsample.2.0", width, 4 * width) | conv("upsample.2.2", width, 4 * width)
    return layout | conv("tail.0", width, 3)


def rdn(blocks: int, layers: int, width: int, growth: int) -> Layout:
    layout = conv("sfe1", 3, width) | conv("sfe2", width, width)
    for i in range(blocks):
        for j in range(layers):
            layout |= conv(f"rdbs.{i}.layers.{j}.conv", width + j * growth, growth)
        layout |= conv(f"rdbs.{i}.lff", width + layers * growth, width, 1)
    layout |= conv("gff.0", blocks * width, width, 1) | conv("gff.1", width, width)
    return layout | conv("upscale.0", width, 4 * width) | conv("output", width, 3)


def swinir(groups: int, depth: int, width: int, heads: int, window: int, light: bool) -> Layout:
    layout = conv("conv_first", 3, width) | norm("patch_embed.norm", width)
    for i in range(groups):
        for j in range(depth):
            here = f"layers.{i}.residual_group.blocks.{j}"
            layout |= norm(f"{here}.norm1", width) | linear(f"{here}.attn.qkv", width, 3 * width)
            layout[f"{here}.attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, heads)
            layout |= linear(f"{here}.attn.proj", width, width) | norm(f"{here}.norm2", width)
            layout |= linear(f"{here}.mlp.fc1", width, 2 * width) | linear(f"{here}.mlp.fc2", 2 * width, width)
        layout |= conv(f"layers.{i}.conv", width, width)
    layout |= norm("norm", width) | conv("conv_after_body", width, width)
    if light:
        return layout | conv("upsample.0", width, 12)
    layout |= conv("conv_before_upsample.0", width, 64) | conv("upsample.0", 64, 256)
    return layout | conv("conv_last", 64, 3)


# Total parameters, in thousands. Lim et al., Table 1: 8.0 M for MDSR, 3.2 M for its baseline; at ×4 43 M for EDSR and
# 1.5 M for its baseline, at ×2, as later papers compare them, 40.7 M and 1.37 M. RDN at ×2: 22.1 M. SwinIR: 11.8 M
# (Liang et al., Table 6); the light network of their release has 910 k, while the paper says 878 k.
PUBLIC = {
    "edsr baseline": ("edsr", edsr(16, 64), 1_370, 64),
    "edsr": ("edsr", edsr(32, 256), 40_730, 256),
    "mdsr baseline": ("mdsr", mdsr(16, 64), 3_227, 64),
    "mdsr": ("mdsr", mdsr(80, 64), 7_954, 64),
    "rdn": ("rdn", rdn(16, 8, 64, 64), 22_123, 64),
    "swinir light": ("swinir", swinir(4, 6, 60, 6, 8, True), 910, 60),
    "swinir": ("swinir", swinir(6, 6, 180, 6, 8, False), 11_752, 180),
}
SMALL = {
    "edsr": edsr(2, 8),
    "mdsr": mdsr(2, 8),
    "rdn": rdn(3, 2, 6, 6),
    "swinir": swinir(2, 3, 12, 3, 4, True),
}


def draw(layout: Layout, seed: int = 0, size: float = 0.3) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    return {name: size * torch.randn(shape, generator=generator) for name, shape in layout.items()}


def saved(weights: Weights, path: Path, legacy: bool = False) -> Path:
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("name", PUBLIC)
def test_networks_have_the_published_layout_and_size(name: str) -> None:
    architecture, layout, thousands, n_features = PUBLIC[name]
    assert round(sum(math.prod(shape) for shape in layout.values()) / 1000) == thousands
    cls = ARCHITECTURES[architecture]
    with torch.device("meta"):
        network = cls.for_shapes(layout)
    needed = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert needed == {key: shape for key, shape in layout.items() if not key.startswith(cls.unused)}
    assert network.n_features == n_features


def test_a_whole_published_layout_loads_from_an_old_file(tmp_path: Path) -> None:
    """MDSR, the network of the paper, in its smaller published size and stored as its release of 2018 is."""
    weights = draw(mdsr(16, 64), size=0.01)
    path = saved(weights, tmp_path / "mdsr.pt", legacy=True)
    extractor = load_extractor("mdsr", path)
    assert (extractor.n_features, extractor.n_channels, extractor.input_range) == (64, 3, 255.0)
    assert (extractor.file, extractor.sha256) == ("mdsr.pt", hashlib.sha256(path.read_bytes()).hexdigest())
    assert torch.equal(extractor.state_dict()["body.15.body.2.weight"], weights["body.15.body.2.weight"])
    assert not extractor.training and not any(p.requires_grad for p in extractor.parameters())
    maps = extractor(torch.rand(1, 3, 9, 11))
    assert maps.shape == (1, 64, 9, 11) and bool(torch.isfinite(maps).all())


def c(w: Weights, name: str, x: Tensor) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)


def residual(w: Weights, name: str, x: Tensor, scaling: float = 1.0) -> Tensor:
    return x + scaling * c(w, f"{name}.body.2", c(w, f"{name}.body.0", x).clamp(min=0))


def edsr_features(w: Weights, x: Tensor) -> Tensor:
    first = c(w, "head.0", c(w, "sub_mean", 255 * x))
    y = first
    scaling = 0.1 if first.shape[1] == 256 else 1.0
    n = max(int(name.split(".")[1]) for name in w if name.startswith("body."))
    for i in range(n):
        y = residual(w, f"body.{i}", y, scaling)
    return c(w, f"body.{n}", y) + first


def mdsr_features(w: Weights, x: Tensor) -> Tensor:
    first = c(w, "head.0", c(w, "sub_mean", 255 * x))
    first = residual(w, "pre_process.0.1", residual(w, "pre_process.0.0", first))
    return c(w, "body.2", residual(w, "body.1", residual(w, "body.0", first))) + first


def rdn_features(w: Weights, x: Tensor) -> Tensor:
    shallow = c(w, "sfe1", x)
    y, local = c(w, "sfe2", shallow), []
    for i in range(3):
        seen = [y]
        for j in range(2):
            seen.append(c(w, f"rdbs.{i}.layers.{j}.conv", torch.cat(seen, 1)).clamp(min=0))
        y = y + c(w, f"rdbs.{i}.lff", torch.cat(seen, 1))
        local.append(y)
    return c(w, "gff.1", c(w, "gff.0", torch.cat(local, 1))) + shallow


def swinir_features(w: Weights, x: Tensor) -> Tensor:
    """Attention of every pixel to every other, with −∞ between windows: no rolling, no cutting into windows."""
    window, heads = 4, 3
    height, width = x.shape[-2:]
    x = x - torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    x = F.pad(x, (0, -width % window, 0, -height % window), "reflect")
    n, _, rows, columns = x.shape
    y_of, x_of = (v.reshape(-1) for v in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    dy, dx = y_of[:, None] - y_of, x_of[:, None] - x_of
    near = (dy.abs() < window) & (dx.abs() < window)
    place = torch.where(near, (dy + window - 1) * (2 * window - 1) + dx + window - 1, 0)

    def ln(name: str, t: Tensor) -> Tensor:
        t = (t - t.mean(-1, keepdim=True)) / (t.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return t * w[f"{name}.weight"] + w[f"{name}.bias"]

    def full(name: str, t: Tensor) -> Tensor:
        return t @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    first = c(w, "conv_first", x)
    t = ln("patch_embed.norm", first.flatten(2).transpose(1, 2))
    for i in range(2):
        kept = t
        for j in range(3):
            here = f"layers.{i}.residual_group.blocks.{j}"
            shift = window // 2 if j % 2 else 0
            ids = ((y_of - shift) // window) * 1000 + (x_of - shift) // window
            table = w[f"{here}.attn.relative_position_bias_table"]
            bias = torch.where((ids[:, None] == ids)[..., None], table[place], -math.inf).permute(2, 0, 1)
            q, k, v = (
                full(f"{here}.attn.qkv", ln(f"{here}.norm1", t)).reshape(n, -1, 3, heads, 4).permute(2, 0, 3, 1, 4)
            )
            drawn = ((q @ k.transpose(-1, -2)) / 2 + bias).softmax(-1) @ v
            t = t + full(f"{here}.attn.proj", drawn.transpose(1, 2).reshape(n, rows * columns, -1))
            hidden = full(f"{here}.mlp.fc1", ln(f"{here}.norm2", t))
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            t = t + full(f"{here}.mlp.fc2", hidden)
        image = t.transpose(1, 2).reshape(n, -1, rows, columns)
        t = c(w, f"layers.{i}.conv", image).flatten(2).transpose(1, 2) + kept
    image = ln("norm", t).transpose(1, 2).reshape(n, -1, rows, columns)
    return (c(w, "conv_after_body", image) + first)[..., :height, :width]


FORMULAS: dict[str, Callable[[Weights, Tensor], Tensor]] = {
    "edsr": edsr_features,
    "mdsr": mdsr_features,
    "rdn": rdn_features,
    "swinir": swinir_features,
}


@pytest.mark.parametrize("architecture", FORMULAS)
def test_features_are_those_of_the_papers(tmp_path: Path, architecture: str) -> None:
    weights = draw(SMALL[architecture])
    extractor = load_extractor(architecture, saved(weights, tmp_path / "w.pt"))
    images = torch.rand(2, 3, 13, 18, generator=torch.Generator().manual_seed(1))
    expected = FORMULAS[architecture](weights, images)
    found = extractor(images)
    assert found.shape == expected.shape == (2, extractor.n_features, 13, 18)
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert torch.allclose(extractor(images[1:]), found[1:], rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_residual_scaling_of_the_large_edsr(tmp_path: Path) -> None:
    weights = draw(edsr(1, 256), size=0.05)
    extractor = load_extractor("edsr", saved(weights, tmp_path / "w.pt"))
    images = torch.rand(1, 3, 6, 5)
    expected = edsr_features(weights, images)
    assert torch.allclose(extractor(images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 9), (17, 5)])
def test_swinir_takes_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    extractor = load_extractor("swinir", saved(draw(SMALL["swinir"]), tmp_path / "w.pt"))
    maps = extractor(torch.rand(1, 3, *size))
    assert maps.shape == (1, 12, *size) and bool(torch.isfinite(maps).all())


def test_wrappings_of_the_same_weights_load_alike(tmp_path: Path) -> None:
    weights = draw(SMALL["swinir"])
    index = {
        f"{name.removesuffix('bias_table')}index": torch.arange(256).reshape(16, 16)
        for name in weights
        if name.endswith("relative_position_bias_table")
    }
    mask = {"layers.0.residual_group.blocks.1.attn_mask": torch.zeros(9, 16, 16)}
    images = torch.rand(1, 3, 8, 8)
    plain = load_extractor("swinir", saved(weights, tmp_path / "a.pt"))(images)
    torch.save({"params": weights | index | mask}, tmp_path / "b.pth")
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "c.pth")
    save_file(weights, tmp_path / "d.safetensors")
    for name in ("b.pth", "c.pth", "d.safetensors"):
        assert torch.equal(load_extractor("swinir", tmp_path / name)(images), plain)


def test_rdn_of_the_other_layout(tmp_path: Path) -> None:
    weights = draw(SMALL["rdn"])
    renamed = {}
    for name, value in weights.items():
        name = re.sub(r"^sfe(\d)", r"SFENet\1", name)
        name = re.sub(r"^rdbs\.(\d)\.layers\.(\d)\.conv", r"RDBs.\1.convs.\2.conv.0", name)
        name = re.sub(r"^rdbs\.(\d)\.lff", r"RDBs.\1.LFF", name).replace("gff.", "GFF.")
        renamed[name.replace("upscale.0", "UPNet.0").replace("output", "UPNet.2")] = value
    extractor = load_extractor("rdn", saved(renamed, tmp_path / "w.pt"))
    images = torch.rand(1, 3, 7, 9)
    expected = rdn_features(weights, 255 * images)  # this family works in 0 … 255
    assert torch.allclose(extractor(images), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = saved(draw(SMALL["edsr"]), tmp_path / "w.pt")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_extractor("edsr", path)
    assert torch.equal(torch.rand(1), expected)


def test_the_wrong_number_of_channels_is_refused(tmp_path: Path) -> None:
    extractor = load_extractor("edsr", saved(draw(SMALL["edsr"]), tmp_path / "w.pt"))
    with pytest.raises(ValueError, match=r"must be \(n, 3, y, x\)"):
        extractor(torch.rand(2, 1, 8, 8))


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda w: {key: value for key, value in w.items() if key != name}


WRONG = {
    "missing": ("edsr", without("body.1.body.2.bias"), r"body\.1\.body\.2\.bias of EDSR is missing"),
    "no head": ("mdsr", without("head.0.weight"), r"head\.0\.weight of MDSR is missing"),
    "surplus": ("rdn", lambda w: w | {"rdbs.0.gate": torch.ones(3)}, r"holds rdbs\.0\.gate, which RDN has not"),
    "shape": ("swinir", lambda w: w | {"norm.weight": torch.ones(7)}, r"norm\.weight is 7, but this SwinIR needs 12"),
    "not finite": (
        "edsr",
        lambda w: w | {"head.0.bias": torch.full((8,), math.nan)},
        r"head\.0\.bias holds values that are not finite",
    ),
    "heads": (
        "swinir",
        lambda w: w | {"layers.0.residual_group.blocks.0.attn.relative_position_bias_table": torch.ones(49, 5)},
        "12 features and 5 heads, which do not fit",
    ),
    "flat": ("edsr", lambda w: w | {"head.0.weight": torch.tensor(1.0)}, "its tensors fit no EDSR"),
    "other": ("mdsr", lambda _: draw(SMALL["swinir"]), "holds weights of SwinIR, not of MDSR; choose extractor swinir"),
    "edsr for mdsr": ("mdsr", lambda _: draw(SMALL["edsr"]), "weights of EDSR, not of MDSR; choose extractor edsr"),
    "mdsr for edsr": ("edsr", lambda _: draw(SMALL["mdsr"]), "weights of MDSR, not of EDSR; choose extractor mdsr"),
    "mdsr for swinir": (
        "swinir",
        lambda _: draw(SMALL["mdsr"]),
        "weights of MDSR, not of SwinIR; choose extractor mdsr",
    ),
    "none of them": ("rdn", lambda _: {"a": torch.ones(3)}, "holds no weights of RDN"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_weights_end_in_one_sentence(tmp_path: Path, case: str) -> None:
    architecture, change, sentence = WRONG[case]
    path = saved(change(draw(SMALL[architecture])), tmp_path / "net.pt")
    with pytest.raises(InputError, match=rf"^net\.pt: .*{sentence}.*\.$") as caught:
        load_extractor(architecture, path)
    assert "\n" not in str(caught.value)


def test_a_given_hash_is_checked_before_the_file_is_read(tmp_path: Path) -> None:
    path = saved(draw(SMALL["edsr"]), tmp_path / "net.pt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_extractor("edsr", path, digest).sha256 == digest
    with pytest.raises(InputError, match=r"net\.pt: its SHA-256"):
        load_extractor("edsr", path, "0" * 64)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - set(BUNDLED)))
def test_weights_must_be_given(architecture: str) -> None:
    with pytest.raises(InputError, match="needs a file of weights; give its path in extractor_weights"):
        load_extractor(architecture)


def test_features_do_not_depend_on_what_else_is_computed(tmp_path: Path) -> None:
    """Frames are extracted side by side: the same network, called from several threads, gives the same bits."""
    from concurrent.futures import ThreadPoolExecutor

    extractor = load_extractor("swinir", saved(draw(SMALL["swinir"]), tmp_path / "w.pt"))
    images = torch.rand(6, 1, 3, 21, 22)
    alone = [extractor(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(extractor, images))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert np.isfinite(alone[0].numpy()).all()
