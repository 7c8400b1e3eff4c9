"""Where a step's time goes, and the least it could be: ``python benchmarks/steps.py [METHOD …] [--repeats 15]``.

On the simulated cine (23 frames of 128², 13 spokes, 10 coils), each method's default preset, one thread: a step's time
split into NUFFT, encoding, network, optimiser and the rest. Whatever runs inside a part counts for that part alone, so
the parts add up to the step. In the backward pass markers at the ends of a network tell when it begins and ends. The
last columns are the step without instruments, on one and on two threads.

A roofline for each part: bytes that must move and operations that must be done, counted from the sizes; the floor is
the larger of the two over what this machine was measured to do in the same run (`bandwidth` copies memory, `flops`
multiplies matrices). Caches can beat the floor of bytes where data stay in them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from kernels import machine, table
from measuring import turns
from torch import Tensor, nn

from napari_dainr.data import bin_spokes
from napari_dainr.inr import hashgrid, parallel
from napari_dainr.inr.encodings import FrequencyEncoding
from napari_dainr.inr.fitting import NetworkFit
from napari_dainr.inr.fourier import FourierFeatures, PeriodicMlp, SeparableFourierMlp
from napari_dainr.inr.generator import FrameGenerator
from napari_dainr.inr.networks import Mlp
from napari_dainr.methods import grasp, lowrank, stinr
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import CONFIGS, method_config
from napari_dainr.methods.dainr import DainrState
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.problem import make_problem
from napari_dainr.ops.nufft import Nufft, make_nufft
from napari_dainr.phantom import cine_phantom, simulate_kspace

PARTS = ("NUFFT", "coils", "encoding", "network", "optimiser", "penalties", "rest")


class Ledger:
    """Time of each part; one part runs at a time, and what it calls may hand the clock to another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.part, self._since = "rest", time.perf_counter()

    def switch(self, part: str) -> str:
        """Go on under another part; returns the one before."""
        now = time.perf_counter()
        self.seconds[self.part] += now - self._since
        before, self.part, self._since = self.part, part, now
        return before

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before = self.switch(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch(before)

        return call


class _Marker(torch.autograd.Function):
    """Nothing, but on the way back the clock goes to a part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ledger: Ledger, part: str) -> Tensor:
        ctx.ledger, ctx.part = ledger, part
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        ctx.ledger.switch(ctx.part)
        return grads[0], None, None


def _marked(ledger: Ledger, part: str, after: str, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A module's forward under its part, with markers for the way back."""

    def call(self: nn.Module, x: Tensor, *args: Any) -> Tensor:
        before = ledger.switch(part)
        if torch.is_grad_enabled():
            x = _Marker.apply(x, ledger, after) if x.requires_grad else x
            out: Tensor = _Marker.apply(forward(self, x, *args), ledger, part)
        else:
            out = forward(self, x, *args)
        ledger.switch(before)
        return out

    return call


@contextmanager
def instruments(ledger: Ledger, problem: Problem) -> Iterator[None]:
    """Every part's functions with the clock around them."""
    backend = type(problem.nufft)
    timed = [(backend, name, "NUFFT") for name in ("_forward", "_adjoint")]
    timed += [(Problem, name, "coils") for name in ("forward", "adjoint")]
    timed += [(NetworkFit, "descend", "optimiser")]
    timed += [(hashgrid._EncodeNumba, name, "encoding") for name in ("forward", "backward")]
    for module in (grasp, lowrank, stinr):
        for name in ("clip_difference", "temporal_difference", "temporal_difference_adjoint", "spatial_gradient",
                     "spatial_gradient_adjoint", "clip_gradient", "clip_singular_values", "nuclear_norm"):  # fmt: skip
            if hasattr(module, name):
                timed.append((module, name, "penalties"))
    with ExitStack() as stack:
        for owner, name, part in timed:
            function = ledger.timed(part, getattr(owner, name))
            static = owner is hashgrid._EncodeNumba
            stack.enter_context(mock.patch.object(owner, name, staticmethod(function) if static else function))
        for module in (Mlp, PeriodicMlp, SeparableFourierMlp, FrameGenerator):
            stack.enter_context(
                mock.patch.object(module, "forward", _marked(ledger, "network", "rest", module.forward))
            )
        for module in (FrequencyEncoding, FourierFeatures):
            stack.enter_context(
                mock.patch.object(module, "forward", _marked(ledger, "encoding", "rest", module.forward))
            )
        # Whatever a pass through the graph ends in, the clock goes back to who asked for it.
        stack.enter_context(mock.patch.object(torch.autograd, "grad", ledger.timed("rest", torch.autograd.grad)))
        yield


def bandwidth(n_bytes: int) -> float:
    """Bytes a second that one thread copies, read and written both counted."""
    source, target = torch.ones(n_bytes // 4), torch.zeros(n_bytes // 4)
    return 2 * n_bytes / _best(lambda: target.copy_(source))


def flops() -> float:
    """Single-precision operations a second of one thread, in the product of two matrices of 1024²."""
    a = torch.randn(1024, 1024)
    return 2 * 1024**3 / _best(lambda: a @ a)


def _best(job: Callable[[], object], repeats: int = 12) -> float:
    return float(turns({"job": job}, 1, warm=0, counted=repeats)["job"][:, 0].min())


@dataclass
class Work:
    """What a part must at least do in one step."""

    n_bytes: float = 0.0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.n_bytes + other.n_bytes, self.operations + other.operations)


class Counter:
    """Work of the parts, counted from the sizes of what passes through them during one step."""

    def __init__(self, problem: Problem) -> None:
        self.work: dict[str, Work] = defaultdict(Work)
        self.problem = problem

    def add(self, part: str, n_bytes: float, operations: float) -> None:
        self.work[part] += Work(n_bytes, operations)

    def nufft(self, n_rows: int) -> None:
        """A fine grid of 1.25² the pixels is filled, transformed and read by 8² taps a sample, in each coil."""
        height, width = self.problem.matrix
        samples, maps = self.problem.nufft.n_samples, n_rows * self.problem.csm.shape[0]
        fine = 1.25**2 * height * width
        fft = 5 * fine * np.log2(fine)
        # Image in or out, samples out or in; the grid of one coil stays in the cache. A tap: a complex times a real.
        self.add("NUFFT", 8.0 * maps * (height * width + samples), maps * (fft + 4 * 64 * samples))
        self.add("coils", 8.0 * maps * height * width, 8.0 * maps * height * width)

    def hash(self, n: int, spec: hashgrid.HashGridSpec, backward: bool, dense: int) -> None:
        """2^dims corners of F numbers each are read and, on the way back, read, added to and written."""
        corners, width = 2**spec.dims, spec.width
        self.add("encoding", 4.0 * n * width * (1 + corners), 2.0 * n * width * corners)
        if backward:
            self.add("encoding", 4.0 * n * width * (1 + 2 * corners) + 4.0 * dense, 2.0 * n * width * corners)

    def linear(self, n: int, n_in: int, n_out: int, with_input: bool) -> None:
        """Forward, gradient of the weights and, but for a first layer without one, gradient of the input."""
        self.add(
            "network", 4.0 * n * (n_in + n_out) * (3 if with_input else 2), (6 if with_input else 4) * n * n_in * n_out
        )

    def optimiser(self, fit: NetworkFit) -> None:
        """Weights, two moments, gradient, and the average: read; all but the gradient written."""
        n = sum(p.numel() for p in fit.parameters)
        averaged = fit.average is not None
        self.add("optimiser", 4.0 * n * (7 + 2 * averaged), n * (12 + 2 * averaged))


@contextmanager
def counting(counter: Counter) -> Iterator[None]:
    """Sizes are noted while one step runs."""
    functional = nn.functional
    linear, conv = functional.linear, functional.conv2d
    encode = hashgrid._EncodeNumba.forward
    descend = NetworkFit.descend

    def linear_noted(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        counter.linear(x.numel() // x.shape[-1], weight.shape[1], weight.shape[0], x.requires_grad)
        return linear(x, weight, bias)

    def conv_noted(x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        n_out, n_in, *kernel = weight.shape
        pixels = x.shape[-1] * x.shape[-2]
        counter.add("network", 12.0 * pixels * (n_in + n_out), 6.0 * pixels * n_in * n_out * kernel[0] * kernel[1])
        return conv(x, weight, *args, **kwargs)

    def encode_noted(ctx: Any, coords: Tensor, values: Tensor, spec: hashgrid.HashGridSpec, buffer: Any) -> Tensor:
        counter.hash(len(coords), spec, torch.is_tensor(values) and values.requires_grad, spec.n_params)
        return encode(ctx, coords, values, spec, buffer)

    def descend_noted(fit: NetworkFit, *args: Any, **kwargs: Any) -> None:
        counter.optimiser(fit)
        descend(fit, *args, **kwargs)

    def transform_noted(transform: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(nufft: Nufft, data: Tensor, frames: Any) -> Tensor:
            counter.nufft(len(frames))
            return transform(nufft, data, frames)

        return call

    backend = type(counter.problem.nufft)
    with ExitStack() as stack:
        for name in ("_forward", "_adjoint"):
            stack.enter_context(mock.patch.object(backend, name, transform_noted(getattr(backend, name))))
        stack.enter_context(mock.patch.object(functional, "linear", linear_noted))
        stack.enter_context(mock.patch.object(functional, "conv2d", conv_noted))
        stack.enter_context(mock.patch.object(hashgrid._EncodeNumba, "forward", staticmethod(encode_noted)))
        stack.enter_context(mock.patch.object(NetworkFit, "descend", descend_noted))
        yield


def problem_of(threads: int) -> Problem:
    kspace = simulate_kspace(cine_phantom((128, 128), 23), spokes_per_frame=13, n_coils=10, snr=30)
    return make_problem(bin_spokes(kspace, 13), coils=10, threads=threads)


def begun(name: str, preset: str, problem: Problem) -> tuple[Any, Any]:
    """A method and its state a few steps into the fit, for DA-INR beyond its features."""
    method = make_method(name, method_config(name, preset, {}), 0)
    state = method.start(problem)
    while isinstance(state, DainrState) and (state.feature_fit is not None or state.images is not None):
        method.step(problem, state)
    for _ in range(3):
        method.step(problem, state)
    return method, state


def whole_step(method: Any, problem: Problem, state: Any, repeats: int, threads: int) -> float:
    """Median milliseconds of a step without instruments."""
    parallel.set_threads(threads)
    ktraj, matrix = problem.nufft.ktraj, problem.matrix
    problem = Problem(
        problem.kdata,
        make_nufft(ktraj, matrix, threads=threads),
        problem.csm,
        problem.dcf,
        problem.unit,
        problem.inside,
    )
    taken = turns({"step": lambda: method.step(problem, state)}, 1, warm=2, counted=repeats)["step"]
    return 1e3 * float(np.median(taken[:, 0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=[], help="by default all nine")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parallel.set_threads(1)
    print(machine())
    far, near, peak = bandwidth(2**28), bandwidth(2**18), flops()
    print(f"one thread: {far / 1e9:.1f} GB/s from memory, {near / 1e9:.1f} GB/s in the cache, {peak / 1e9:.0f} Gflop/s")
    problem = problem_of(1)
    shares, roofs = [], []
    for name in options.methods or CONFIGS:
        parallel.set_threads(1)
        method, state = begun(name, options.preset, problem)
        counter = Counter(problem)
        with counting(counter):
            method.step(problem, state)
        samples = []
        for _ in range(options.repeats):
            ledger = Ledger()
            with instruments(ledger, problem):
                ledger.switch("rest")
                ledger.seconds.clear()
                method.step(problem, state)
                ledger.switch("rest")
            samples.append([ledger.seconds[part] for part in PARTS])
        parts = dict(zip(PARTS, 1e3 * np.median(samples, axis=0), strict=True))
        one = whole_step(method, problem, state, options.repeats, 1)
        two = whole_step(method, problem, state, options.repeats, 2)
        shares.append(
            [name, *(f"{parts[p]:.1f}" if parts[p] >= 0.05 else "–" for p in PARTS), f"{one:.1f}", f"{two:.1f}"]
        )
        for part, work in counter.work.items():
            floor = 1e3 * max(work.n_bytes / far, work.operations / peak)
            bound = "bytes" if work.n_bytes / far > work.operations / peak else "operations"
            if parts[part] >= 0.05:
                roofs.append([name, part, f"{work.n_bytes / 1e6:.1f}", f"{work.operations / 1e6:.0f}", f"{floor:.2f}",
                              bound, f"{parts[part]:.1f}", f"{parts[part] / floor:.1f}"])  # fmt: skip
    table(
        f"Milliseconds of a step, preset {options.preset}, one thread; then whole steps without instruments",
        ["method", *PARTS, "1 thread", "2 threads"],
        shares,
    )
    table(
        "Roofline, one thread",
        ["method", "part", "MB", "Mflop", "floor ms", "bound by", "measured ms", "gap"],
        roofs,
    )


if __name__ == "__main__":
    main()
