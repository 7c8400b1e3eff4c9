"""Moving phantoms with a known truth, and radial k-space computed from any image series. No torch, no NUFFT.

k-space is the exact discrete Fourier sum, possibly of a finer grid than the reconstruction's, so that a reconstruction
is never tested against its own operator. Motion is frozen within a frame.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.trajectory import GOLDEN_ANGLE_DEG, radial_ktraj

__all__ = ["band_limit", "cine_phantom", "coil_maps", "liver_phantom", "sample_kspace", "simulate_kspace"]

Image = NDArray[np.float64]

_TEXTURE_GRID = 256


def _grid(matrix: tuple[int, int]) -> tuple[Image, Image]:
    """Pixel positions (y, x), fractions of the field of view; pixel ``n // 2`` is at 0."""
    y, x = (((np.arange(n) - n // 2) / n) for n in matrix)
    return np.broadcast_to(y[:, None], matrix), np.broadcast_to(x[None, :], matrix)


class _Texture:
    """A smooth random pattern of mean 0 and standard deviation 1 that can be looked up anywhere (it repeats)."""

    def __init__(self, rng: np.random.Generator, scales: tuple[float, ...]) -> None:
        from scipy.ndimage import gaussian_filter

        noise = rng.standard_normal((len(scales), _TEXTURE_GRID, _TEXTURE_GRID))
        layers = [gaussian_filter(n, s * _TEXTURE_GRID, mode="wrap") for n, s in zip(noise, scales, strict=True)]
        field = sum((layer / layer.std() for layer in layers), start=np.zeros_like(layers[0]))
        self.field = (field - field.mean()) / field.std()

    def __call__(self, y: Image, x: Image) -> Image:
        from scipy.ndimage import map_coordinates

        where = np.stack([(y + 0.5) * _TEXTURE_GRID, (x + 0.5) * _TEXTURE_GRID])
        values: Image = map_coordinates(self.field, where, order=1, mode="grid-wrap")
        return values


class _Canvas:
    """Paints soft-edged shapes over each other; ``y``, ``x`` may be moved between strokes."""

    def __init__(self, matrix: tuple[int, int]) -> None:
        self.y, self.x = _grid(matrix)
        self.edge = 0.6 / max(matrix)
        self.image = np.zeros(matrix)

    def cover(self, distance: Image) -> Image:
        """Coverage 0…1 from a signed distance (negative inside), about one pixel soft."""
        return 0.5 * (1 - np.tanh(np.clip(distance / self.edge, -20, 20)))

    def paint(self, distance: Image, value: Image | float) -> None:
        cover = self.cover(distance)
        self.image = self.image * (1 - cover) + cover * value

    def ellipse(self, cy: float, cx: float, ry: float, rx: float, turn_deg: float = 0.0) -> Image:
        """Signed distance to an ellipse (first order, exact near the edge of mild ellipses)."""
        t = np.deg2rad(turn_deg)
        dy, dx = self.y - cy, self.x - cx
        u, v = (np.cos(t) * dy - np.sin(t) * dx) / ry, (np.sin(t) * dy + np.cos(t) * dx) / rx
        r = np.hypot(u, v)
        gradient = np.hypot(u / ry, v / rx) / np.maximum(r, 1e-9)
        distance: Image = (r - 1) / np.maximum(gradient, 1e-9)
        return distance

    def line(self, start: tuple[float, float], end: tuple[float, float], radius: float) -> Image:
        """Signed distance to a thick line with round ends."""
        along = np.subtract(end, start)
        dy, dx = self.y - start[0], self.x - start[1]
        t = np.clip((dy * along[0] + dx * along[1]) / (along @ along), 0, 1)
        distance: Image = np.hypot(dy - t * along[0], dx - t * along[1]) - radius
        return distance


def _with_phase(image: NDArray[np.float64], seed: int) -> NDArray[np.complex64]:
    """(frame, y, x) with a smooth phase, as from a real receiver and field."""
    rng = np.random.default_rng([seed, 7])
    y, x = _grid((image.shape[1], image.shape[2]))
    c = rng.uniform(-1, 1, 6)
    phase = 0.8 * c[0] + 1.6 * (c[1] * y + c[2] * x) + 3.0 * (c[3] * y * y + c[4] * x * x + c[5] * x * y)
    return np.asarray(image * np.exp(1j * phase), dtype=np.complex64)


def _generator(matrix: tuple[int, int], n_frames: int, seed: int, stream: int) -> np.random.Generator:
    if min(matrix) < 2 or n_frames < 1 or seed < 0:
        raise InputError(f"phantom: {n_frames} frames of {matrix}, seed {seed}: give 1 of (2, 2) and seed 0, or more.")
    return np.random.default_rng([seed, stream])


def cine_phantom(matrix: tuple[int, int] = (128, 128), n_frames: int = 23, seed: int = 0) -> NDArray[np.complex64]:
    """A short-axis view of one heart beat.

    The left ventricle contracts and twists, its wall thickens at constant area and carries a texture along, papillary
    muscles move with it; the right ventricle follows, blood is slightly uneven from frame to frame.

    Returns
    -------
    (frame, y, x) complex64
        Signal about 0 to 1, arbitrary units.
    """
    rng = _generator(matrix, n_frames, seed, 1)
    tissue, muscle = _Texture(rng, (0.012, 0.03, 0.08)), _Texture(rng, (0.010, 0.02))
    blood = [_Texture(rng, (0.02, 0.05)) for _ in range(3)]
    frames = []
    for frame in range(n_frames):
        t = frame / n_frames
        warped = 0.5 * t / 0.35 if t < 0.35 else 0.5 + 0.5 * (t - 0.35) / 0.65
        squeeze = 0.5 * (1 - np.cos(2 * np.pi * warped))
        canvas = _Canvas(matrix)
        _paint_thorax(canvas, tissue)
        _paint_heart(canvas, squeeze, t, muscle, blood)
        frames.append(canvas.image)
    return _with_phase(np.stack(frames), seed)


def _paint_thorax(canvas: _Canvas, tissue: _Texture) -> None:
    grain = tissue(canvas.y, canvas.x)
    canvas.paint(canvas.ellipse(0, 0, 0.38, 0.45), 0.75 + 0.04 * grain)
    canvas.paint(canvas.ellipse(0, 0, 0.345, 0.415), 0.34 * (1 + 0.12 * grain))
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(-0.03, 0.25 * side, 0.24, 0.13, 8 * side), 0.06 + 0.015 * grain)
        for k in range(5):
            angle = 0.5 + 1.1 * k
            end = (-0.03 + 0.17 * np.cos(angle), 0.25 * side + 0.08 * np.sin(angle))
            canvas.paint(canvas.line((0.0, 0.18 * side), end, 0.004), 0.4)
    canvas.paint(canvas.ellipse(0.285, 0, 0.045, 0.05), 0.45 * (1 + 0.15 * grain))
    canvas.paint(canvas.ellipse(0.215, 0.055, 0.026, 0.026), 0.85)


def _paint_heart(canvas: _Canvas, squeeze: float, t: float, muscle: _Texture, blood: list[_Texture]) -> None:
    cy, cx = 0.015 + 0.008 * squeeze, 0.045 - 0.006 * squeeze
    dy, dx = canvas.y - cy, canvas.x - cx
    radius, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    rest, wall = 0.088, 0.128
    inner = rest * (1 - 0.38 * squeeze)
    outer = sqrt(wall**2 - rest**2 + inner**2)
    twist = np.deg2rad(14) * squeeze
    # Where the tissue now at a pixel was at rest: the wall keeps its area and turns with the beat.
    home = np.sqrt(np.maximum(radius**2 - inner**2 + rest**2, 0))
    y0, x0 = home * np.sin(angle - twist), home * np.cos(angle - twist)
    pool = 0.92 + 0.05 * sum(np.cos(2 * np.pi * (t + k / 3)) * b(canvas.y, canvas.x) for k, b in enumerate(blood))
    fat = canvas.ellipse(cy, cx - 0.045, outer + 0.028, outer + 0.075)
    canvas.paint(fat, 0.62 + 0.03 * muscle(canvas.y, canvas.x))
    shrink = 1 - 0.22 * squeeze
    right = canvas.ellipse(cy + 0.005, cx - 0.085, 0.118 * shrink, 0.100 * shrink)
    canvas.paint(right - 0.010, 0.40)
    canvas.paint(right, pool)
    texture = muscle(y0, x0)
    canvas.paint(radius - outer, 0.36 * (1 + 0.16 * texture))
    canvas.paint(radius - inner, pool)
    for place, size in ((0.9, 0.018), (2.5, 0.021)):
        at = place + twist
        r = inner - 0.022
        papillary = np.hypot(dy - r * np.sin(at), dx - r * np.cos(at)) - size * (1 + 0.2 * squeeze)
        canvas.paint(np.maximum(papillary, radius - inner), 0.36 * (1 + 0.16 * texture))


def _gamma(times: NDArray[np.float64], onset: float, to_peak: float) -> NDArray[np.float64]:
    """Gamma-variate bolus of height 1."""
    u = np.maximum(times - onset, 0) / to_peak
    return np.asarray((u * np.exp(1 - u)) ** 2.2)


def _liver_curves(n_frames: int) -> dict[str, NDArray[np.float64]]:
    """Signal of each organ in each frame; the whole series spans the passage of one contrast bolus."""
    t = np.arange(n_frames) / max(n_frames - 1, 1)
    washed = 1 / (1 + np.exp(-(t - 0.32) / 0.05))
    aorta = 0.25 + 0.70 * _gamma(t, 0.10, 0.13) + 0.22 * washed
    portal = 0.22 + 0.42 * _gamma(t, 0.18, 0.24) + 0.20 * washed
    uptake = 0.25 * (aorta - aorta[0]) + 0.75 * (portal - portal[0])
    liver = 0.28 + 1.6 * np.cumsum(uptake * np.exp(-0.05 * np.arange(n_frames))) / n_frames
    spleen = 0.22 + 0.55 * _gamma(t, 0.12, 0.17) + 0.15 * washed
    kidney = 0.24 + 0.50 * _gamma(t, 0.13, 0.22) + 0.30 * washed
    return {"AO": aorta, "PV": portal, "liver": liver, "spleen": spleen, "kidney": kidney}


def liver_phantom(
    matrix: tuple[int, int] = (128, 128), n_frames: int = 17, seed: int = 0
) -> tuple[NDArray[np.complex64], dict[str, NDArray[np.bool_]], dict[str, NDArray[np.float64]]]:
    """An axial slice through the abdomen during the passage of a contrast bolus, with a little breathing.

    Returns
    -------
    image : (frame, y, x) complex64
        Arbitrary units.
    masks : dict of (y, x) bool
        ``AO`` (aorta), ``PV`` (portal vein), ``liver``: pixels that lie well inside, in every frame.
    curves : dict of (frame,) float64
        True signal of the same regions; aorta and portal vein are uniform, the liver's texture averages to it.
    """
    rng = _generator(matrix, n_frames, seed, 2)
    grain, coarse = _Texture(rng, (0.008, 0.02)), _Texture(rng, (0.02, 0.06))
    curves = _liver_curves(n_frames)
    frames = []
    inside = {name: np.full(matrix, np.inf) for name in ("AO", "PV", "liver")}
    for frame in range(n_frames):
        canvas = _Canvas(matrix)
        signal = {name: float(curve[frame]) for name, curve in curves.items()}
        breath = 0.008 * np.sin(2 * np.pi * 0.29 * frame + 0.4)
        distances = _paint_abdomen(canvas, signal, breath, grain, coarse)
        for name, distance in distances.items():
            inside[name] = np.minimum(inside[name], -distance)
        frames.append(canvas.image)
    depth = 1.5 / max(matrix)
    masks = {name: inside[name] > depth for name in inside}
    return _with_phase(np.stack(frames), seed), masks, {name: curves[name] for name in masks}


def _paint_abdomen(
    canvas: _Canvas, signal: dict[str, float], breath: float, grain: _Texture, coarse: _Texture
) -> dict[str, Image]:
    """Paint one frame; returns the signed distance to the clean part of each measured region."""
    still = grain(canvas.y, canvas.x)
    canvas.paint(canvas.ellipse(0, 0, 0.34, 0.45), 0.55 + 0.03 * still)
    canvas.paint(canvas.ellipse(0.005, 0, 0.305, 0.415), 0.20 * (1 + 0.12 * still))
    canvas.paint(canvas.ellipse(0.20, 0.0, 0.055, 0.065), 0.26 * (1 + 0.15 * still))
    canvas.paint(canvas.ellipse(0.215, 0.0, 0.018, 0.022), 0.10)
    fixed_y = canvas.y
    canvas.y = fixed_y - breath
    moving = coarse(canvas.y, canvas.x)
    canvas.paint(canvas.ellipse(-0.10, 0.19, 0.085, 0.12, 15), 0.12 + 0.02 * moving)
    canvas.paint(canvas.ellipse(0.07, 0.30, 0.10, 0.06, -12), signal["spleen"] * (1 + 0.14 * moving))
    liver = np.minimum(canvas.ellipse(-0.01, -0.20, 0.20, 0.17, -12), canvas.ellipse(-0.11, -0.06, 0.10, 0.16, 10))
    canvas.paint(liver, signal["liver"] * (1 + 0.07 * moving))
    vessels = np.full(canvas.image.shape, np.inf)
    for start, end, radius in (
        ((0.0, -0.09), (-0.06, -0.22), 0.011),
        ((-0.06, -0.22), (-0.13, -0.24), 0.007),
        ((-0.06, -0.22), (-0.03, -0.30), 0.006),
        ((0.0, -0.09), (0.09, -0.24), 0.008),
        ((-0.02, -0.12), (-0.14, -0.10), 0.006),
    ):
        vessels = np.minimum(vessels, canvas.line(start, end, radius))
    portal = canvas.ellipse(0.0, -0.09, 0.036, 0.044)
    canvas.paint(np.minimum(vessels, portal), signal["PV"])
    lesion = canvas.ellipse(0.10, -0.17, 0.022, 0.022)
    canvas.paint(lesion, 0.5 * signal["liver"] + 0.25 * signal["AO"])
    for side in (-1, 1):
        kidney = canvas.ellipse(0.155, 0.16 * side, 0.062, 0.045, 20 * side)
        canvas.paint(kidney, signal["kidney"] * (1 + 0.08 * moving))
        canvas.paint(kidney + 0.024, 0.2 + 0.45 * signal["kidney"])
    canvas.y = fixed_y
    aorta = canvas.ellipse(0.115, 0.035, 0.034, 0.034)
    canvas.paint(aorta, signal["AO"])
    canvas.paint(canvas.ellipse(0.105, -0.045, 0.026, 0.032), 0.5 * (signal["PV"] + signal["liver"]))
    kept_out = np.minimum.reduce([vessels, portal, lesion, canvas.ellipse(0.155, -0.16, 0.075, 0.058, -20)])
    return {"AO": aorta, "PV": portal, "liver": np.maximum(liver, 0.012 - kept_out)}


def coil_maps(n_coils: int, matrix: tuple[int, int]) -> NDArray[np.complex64]:
    """Sensitivities of loop coils on a ring around the object, by the law of Biot and Savart.

    Returns
    -------
    (coil, y, x) complex64
        Sum of squares 1 in every pixel, so that the root sum of squares of the coil images is the image itself.
    """
    y, x = _grid(matrix)
    ring, segments = 0.78, 16
    loop = min(0.3, 1.2 * np.pi * ring / n_coils)
    turn = 2 * np.pi * (np.arange(segments) + 0.5) / segments
    maps = np.empty((n_coils, *matrix), dtype=np.complex128)
    for coil in range(n_coils):
        at = 2 * np.pi * coil / n_coils
        outward, tangent = np.array([np.cos(at), np.sin(at), 0.0]), np.array([-np.sin(at), np.cos(at), 0.0])
        axis = np.array([0.0, 0.0, 1.0])
        wire = ring * outward + loop * (np.cos(turn)[:, None] * tangent + np.sin(turn)[:, None] * axis)
        flow = -np.sin(turn)[:, None] * tangent + np.cos(turn)[:, None] * axis
        field_x, field_y = np.zeros(matrix), np.zeros(matrix)
        for (px, py, pz), (fx, fy, fz) in zip(wire, flow, strict=True):
            rx, ry, rz = x - px, y - py, -pz
            cubed = (rx**2 + ry**2 + rz**2 + 1e-3) ** 1.5
            field_x += (fy * rz - fz * ry) / cubed
            field_y += (fz * rx - fx * rz) / cubed
        maps[coil] = field_x - 1j * field_y
    return np.asarray(maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0)), dtype=np.complex64)


def _fourier(image: NDArray[np.complex64], ktraj: NDArray[np.floating], gain: float) -> NDArray[np.complex64]:
    """Exact Fourier sum of (coil, y, x) at (sample, 2) in cycles per field of view → (coil, sample)."""
    coils, ny, nx = image.shape
    k = ktraj.astype(np.float64)
    phases_y = np.exp(-2j * np.pi * k[:, :1] * ((np.arange(ny) - ny // 2) / ny)).astype(np.complex64)
    phases_x = np.exp(-2j * np.pi * k[:, 1:] * ((np.arange(nx) - nx // 2) / nx)).astype(np.complex64)
    rows = phases_y @ image.transpose(1, 0, 2).reshape(ny, coils * nx)
    return np.asarray(gain * np.einsum("scx,sx->cs", rows.reshape(-1, coils, nx), phases_x), dtype=np.complex64)


def simulate_kspace(
    image: NDArray[np.complexfloating] | NDArray[np.floating],
    *,
    spokes_per_frame: int,
    n_coils: int = 8,
    n_readout: int | None = None,
    tr_s: float = 0.0027,
    fov_mm: tuple[float, float] | float = 300.0,
    snr: float = 30.0,
    seed: int = 0,
    name: str = "simulated",
    matrix: tuple[int, int] | None = None,
) -> KSpace:
    """Golden-angle radial k-space of an image series.

    ``y_j = (√(My·Mx) / (Ny·Nx)) Σ_r c_r x_r exp(−2πi k_j·r / N) + n_j``: for an image at the matrix M this
    is the NUFFT's definition, and for a finer grid N the same intensities.

    Parameters
    ----------
    image : (frame, y, x)
        The truth; one frame is frozen for ``spokes_per_frame`` spokes.
    n_readout
        Samples per spoke; by default twice the longer side of ``matrix`` (2-fold oversampling).
    tr_s, fov_mm
        Seconds per spoke; field of view (y, x), or of the longer side, of square pixels, in mm.
    snr
        Mean magnitude of the object over the standard deviation of the complex noise in each coil, where a k-space
        sample of the unitary transform and a pixel have the same noise; ``inf`` for none.
    matrix : (y, x) or None
        Pixels of the reconstruction, of the same shape and not finer than the image; by default the image's.

    Raises
    ------
    InputError
        For an image that is not a series, is not finite, or is coarser than ``matrix``.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.size == 0 or not np.isfinite(image).all():
        raise InputError(f"{name}: the image must be a finite (frame, y, x) series, not of shape {image.shape}.")
    if spokes_per_frame < 1 or n_coils < 1 or not snr > 0 or not tr_s > 0 or seed < 0:
        raise InputError(f"{name}: spokes per frame, coils, snr and TR must be positive, the seed at least 0.")
    fine = (image.shape[1], image.shape[2])
    matrix = fine if matrix is None else matrix
    if matrix[0] > fine[0] or matrix[1] > fine[1]:
        raise InputError(f"{name}: matrix {matrix} is finer than the image {fine}; choose at most the image's.")
    if isinstance(fov_mm, int | float):
        fov_mm = (fov_mm * matrix[0] / max(matrix), fov_mm * matrix[1] / max(matrix))
    samples = 2 * max(matrix) if n_readout is None else n_readout
    n_spokes = image.shape[0] * spokes_per_frame
    ktraj = radial_ktraj(n_spokes, samples, matrix, oversampling=samples / max(matrix))
    csm = coil_maps(n_coils, fine)
    gain = sqrt(matrix[0] * matrix[1]) / (fine[0] * fine[1])
    kdata = np.empty((n_coils, n_spokes, samples), dtype=np.complex64)
    for frame, picture in enumerate(image):
        spokes = slice(frame * spokes_per_frame, (frame + 1) * spokes_per_frame)
        coil_images = (picture * csm).astype(np.complex64)
        kdata[:, spokes] = _fourier(coil_images, ktraj[spokes].reshape(-1, 2), gain).reshape(n_coils, -1, samples)
    if np.isfinite(snr):
        magnitude = np.abs(image)
        deviation = magnitude[magnitude > 0.1 * magnitude.max()].mean() / snr
        noise = np.random.default_rng(seed).standard_normal((*kdata.shape, 2), dtype=np.float32)
        kdata += (deviation / sqrt(2)) * noise.view(np.complex64)[..., 0]
    return KSpace(
        kdata=kdata[None],
        ktraj=ktraj,
        spoke_times_s=np.arange(n_spokes) * tr_s,
        matrix=matrix,
        fov_mm=(float(fov_mm[0]), float(fov_mm[1])),
        name=name,
        detected={"format": "simulated", "angle step": f"{GOLDEN_ANGLE_DEG:.3f}° (golden angle)"},
        spokes_per_frame_hint=spokes_per_frame,
    )


def band_limit(image: NDArray[np.complexfloating], matrix: tuple[int, int]) -> NDArray[np.complex64]:
    """The truth at a coarser matrix: the same Fourier components and intensities, (frame, y, x) → (frame, *matrix)."""
    ny, nx = image.shape[1:]
    if matrix[0] > ny or matrix[1] > nx:
        raise InputError(f"matrix {matrix} is finer than the image {(ny, nx)}.")
    axes = (1, 2)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=axes)), axes=axes)
    y0, x0 = ny // 2 - matrix[0] // 2, nx // 2 - matrix[1] // 2
    kept = spectrum[:, y0 : y0 + matrix[0], x0 : x0 + matrix[1]]
    coarse = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kept, axes=axes)), axes=axes)
    return np.asarray(coarse * (matrix[0] * matrix[1] / (ny * nx)), dtype=np.complex64)


def sample_kspace(kind: Literal["cine", "liver"] = "cine") -> KSpace:
    """Small k-space made on the spot, for trying the program out."""
    if kind == "cine":
        truth = cine_phantom((120, 120), n_frames=15)
        return simulate_kspace(
            truth, spokes_per_frame=13, n_coils=6, tr_s=0.0046, fov_mm=300.0, name="cine phantom", matrix=(96, 96)
        )
    if kind == "liver":
        truth = liver_phantom((120, 120), n_frames=12)[0]
        return simulate_kspace(
            truth, spokes_per_frame=21, n_coils=6, tr_s=0.11, fov_mm=380.0, name="liver phantom", matrix=(96, 96)
        )
    raise InputError(f"sample data {kind!r} is not known; choose cine or liver.")
