"""AdamW that leaves alone what has never had a gradient: most of a large hash table.

Entries that no point comes near (levels finer than the pixels, times beyond the frames) have a gradient of exactly 0 in
every step; so their moments are 0 and Adam's update is 0. Blocks of such entries are recognised by their gradient and
otherwise not touched, but for weight decay. A block that once had a gradient is updated in every step, as its moments
fade slowly; the result is that of ``torch.optim.AdamW`` to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.compiled import compiled

from .parallel import get_threads, run_parts

__all__ = ["BlockAdamW"]

BLOCK = 256
"""Numbers that are updated or left alone together."""
LARGE = 2**16
"""Parameters with fewer numbers are left to PyTorch."""


@compiled
def _update(weights, slope, mean, square, seen, first, last, numbers):  # type: ignore[no-untyped-def]
    """Update blocks first … last; ``numbers`` are keep, 1 − β1, β2, 1 − β2, rate, root and ε in single precision."""
    keep, new_mean, old_square, new_square, rate, root, epsilon = numbers
    for block in range(first, last):
        start, stop = block * BLOCK, min((block + 1) * BLOCK, len(weights))
        if not seen[block]:
            bits = np.uint32(0)
            for k in range(start, stop):
                bits |= slope[k]
            seen[block] = (bits & np.uint32(0x7FFFFFFF)) != np.uint32(0)  # −0 is no gradient either
        if seen[block]:
            gradient = slope[start:stop].view(np.float32)
            for k in range(start, stop):
                g = gradient[k - start]
                m = mean[k] + new_mean * (g - mean[k])
                v = old_square * square[k] + new_square * (g * g)
                mean[k], square[k] = m, v
                weights[k] = keep * weights[k] - rate * m / (np.sqrt(v) * root + epsilon)
        elif keep != np.float32(1):
            for k in range(start, stop):
                weights[k] *= keep


class BlockAdamW(torch.optim.AdamW):
    """``torch.optim.AdamW`` for parameters of which some are large tables on the CPU, in single precision.

    Those are updated in blocks, on as many threads as there are, each number by one thread. States are those of
    ``AdamW`` and pass between the two.
    """

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, fused=True, **options)
        self._seen: dict[Tensor, NDArray[np.bool_]] = {}

    def load_state_dict(self, state_dict: Any) -> None:
        """Take over a state; which blocks have had gradients is told from its moments."""
        super().load_state_dict(state_dict)
        self._seen.clear()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step for all parameters that have a gradient."""
        large = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if _in_blocks(parameter):
                    self._step_in_blocks(parameter, group)
                    large.append((parameter, parameter.grad))
                    parameter.grad = None
        result = super().step(closure)
        for parameter, gradient in large:
            parameter.grad = gradient
        return result

    def _step_in_blocks(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        taken, (beta1, beta2) = float(state["step"]), group["betas"]
        moments = [state[name].view(-1).numpy() for name in ("exp_avg", "exp_avg_sq")]
        seen = self._seen.get(parameter)
        if seen is None:
            seen = self._seen[parameter] = _nonzero_blocks(moments)
        numbers = (
            1 - group["lr"] * group["weight_decay"],
            1 - beta1,
            beta2,
            1 - beta2,
            group["lr"] / (1 - beta1**taken),
            (1 - beta2**taken) ** -0.5,
            group["eps"],
        )
        single = tuple(np.float32(number) for number in numbers)
        assert parameter.grad is not None  # asked for only where there is one
        weights, slope = parameter.detach().view(-1).numpy(), parameter.grad.contiguous().view(-1).numpy()
        n_parts = get_threads()
        edges = [len(seen) * part // n_parts for part in range(n_parts + 1)]
        run_parts(
            lambda part: _update(weights, slope.view(np.uint32), *moments, seen, edges[part], edges[part + 1], single),
            n_parts,
        )


def _in_blocks(parameter: Tensor) -> bool:
    """Whether a parameter has a gradient and is large enough to be updated in blocks."""
    return (
        parameter.grad is not None
        and parameter.device.type == "cpu"
        and parameter.dtype == torch.float32
        and parameter.numel() >= LARGE
        and parameter.is_contiguous()
    )


def _nonzero_blocks(moments: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """(block,) whether a moment differs from 0."""
    starts = np.arange(0, len(moments[0]), BLOCK)
    found: NDArray[np.bool_] = np.logical_or(*(np.logical_or.reduceat(m != 0, starts) for m in moments))
    return found
