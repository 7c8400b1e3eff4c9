"""AdamW in blocks against PyTorch's, where most entries never have a gradient."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_dainr.inr.adamw import BLOCK, LARGE, BlockAdamW
from napari_dainr.inr.parallel import get_threads, set_threads

OPTIONS: dict[str, Any] = {"betas": (0.9, 0.999), "eps": 1e-8}


def gradients(step: int, table: Tensor) -> tuple[Tensor, Tensor]:
    """Of a table and a small tensor: a few entries of the first half, others in every step, and zeros of each sign."""
    generator = torch.Generator().manual_seed(step)
    of_table = torch.zeros_like(table)
    rows = torch.randint(len(table) // 2, (40,), generator=generator)
    of_table[rows] = torch.randn(40, table.shape[1], generator=generator)
    of_table[-1] = -0.0
    return of_table, torch.randn(5, generator=generator)


def fitted(
    kind: type[BlockAdamW | torch.optim.AdamW], decay: float, steps: range, start: dict[str, object] | None = None
) -> tuple[list[Tensor], Any]:
    """Parameters and optimiser after some steps; ``start`` holds what an earlier part left."""
    generator = torch.Generator().manual_seed(9)
    table, small = torch.randn(LARGE // 2 + 77, 2, generator=generator), torch.randn(5, generator=generator)
    parameters = [torch.nn.Parameter(p) for p in (table, small)]
    optimiser = kind([{"params": parameters, "lr": 1e-2, "weight_decay": decay}], **OPTIONS)
    if start is not None:
        with torch.no_grad():
            for parameter, value in zip(parameters, start["parameters"], strict=True):  # type: ignore[call-overload]
                parameter.copy_(value)
        optimiser.load_state_dict(start["state"])  # type: ignore[arg-type]
    for step in steps:
        optimiser.param_groups[0]["lr"] = 1e-2 * 0.9**step
        for parameter, gradient in zip(parameters, gradients(step, table), strict=True):
            parameter.grad = gradient
        optimiser.step()
    return [p.detach().clone() for p in parameters], optimiser


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_equals_torch(decay: float) -> None:
    """Also entries that had a gradient once and move on by their moments alone."""
    mine, optimiser = fitted(BlockAdamW, decay, range(30))
    theirs, reference = fitted(torch.optim.AdamW, decay, range(30))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    for parameter, other in zip(optimiser.state.values(), reference.state.values(), strict=True):
        assert float(parameter["step"]) == float(other["step"]) == 30
        torch.testing.assert_close(parameter["exp_avg"], other["exp_avg"], rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(parameter["exp_avg_sq"], other["exp_avg_sq"], rtol=1e-5, atol=1e-10)


def test_untouched_entries_keep_their_bits() -> None:
    before, _ = fitted(BlockAdamW, 0.0, range(0))
    after, optimiser = fitted(BlockAdamW, 0.0, range(10))
    half = len(before[0]) // 2 + BLOCK
    assert torch.equal(after[0][half:], before[0][half:])
    assert not torch.equal(after[0][:half], before[0][:half])
    (seen,) = optimiser._seen.values()
    assert not seen[half * 2 // BLOCK + 1 :].any()


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_same_bits_for_any_number_of_threads_and_after_a_stop(decay: float) -> None:
    before = get_threads()
    try:
        set_threads(1)
        straight, _ = fitted(BlockAdamW, decay, range(12))
        for threads in (2, 3):
            set_threads(threads)
            parameters, optimiser = fitted(BlockAdamW, decay, range(5))
            start = {"parameters": parameters, "state": optimiser.state_dict()}
            resumed, _ = fitted(BlockAdamW, decay, range(5, 12), start)
            assert all(torch.equal(a, b) for a, b in zip(resumed, straight, strict=True))
    finally:
        set_threads(before)


def test_states_pass_to_torch_and_back() -> None:
    parameters, optimiser = fitted(BlockAdamW, 0.0, range(6))
    start = {"parameters": parameters, "state": optimiser.state_dict()}
    mine, _ = fitted(BlockAdamW, 0.0, range(6, 9), copy.deepcopy(start))  # a loaded state shares its memory
    theirs, _ = fitted(torch.optim.AdamW, 0.0, range(6, 9), start)
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


def test_small_parameters_have_the_bits_of_torchs_fused_kernel() -> None:
    mine, _ = fitted(BlockAdamW, 1e-2, range(12))
    generator = torch.Generator().manual_seed(9)
    torch.randn(LARGE // 2 + 77, 2, generator=generator)
    small = torch.nn.Parameter(torch.randn(5, generator=generator))
    theirs = torch.optim.AdamW([small], lr=1e-2, weight_decay=1e-2, fused=True, **OPTIONS)
    for step in range(12):
        theirs.param_groups[0]["lr"] = 1e-2 * 0.9**step
        small.grad = gradients(step, torch.zeros(LARGE // 2 + 77, 2))[1]
        theirs.step()
    assert torch.equal(mine[1], small.detach())


def test_a_fit_does_not_import_the_compilers_of_torch() -> None:
    """Triton ends a process in which the driver of the screen has brought another LLVM."""
    code = """
import sys, torch
from napari_dainr.inr.fitting import NetworkFit
network = torch.nn.Linear(3, 2)
fit = NetworkFit.new(network, 1e-3, ema=0.9)
fit.descend([torch.ones_like(p) for p in network.parameters()])
fit.unpack(fit.pack())
print([name for name in ("torch._dynamo", "triton") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
