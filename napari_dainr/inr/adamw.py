"""AdamW that leaves alone what has never had a gradient: most of a large hash table.

Entries that no point comes near (levels finer than the pixels, times beyond the frames) have a gradient of exactly 0 in
every step; so their moments are 0 and Adam's update is 0. Blocks of such entries are recognised by their gradient and
otherwise not touched, but for weight decay. A block that once had a gradient is updated in every step, as its moments
fade slowly; the result is that of ``torch.optim.AdamW`` to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class BlockAdamW:
    """``torch.optim.AdamW`` (Loshchilov and Hutter 2019) for parameters of which some are large tables.

    Those in single precision on the CPU are updated in blocks, on as many threads as there are, each number by one
    thread; all others by PyTorch's fused kernel. States are those of ``AdamW`` and pass between the two.

    It is no ``torch.optim.Optimizer``, because the first one of those imports TorchDynamo, and with it Triton: seconds,
    and a crash where the driver of the screen has brought another LLVM (Mesa does; PyTorch for Linux brings Triton).

    Parameters
    ----------
    groups
        Each with ``params``, ``lr`` and ``weight_decay``; whatever else is in them stays there.
    betas, eps
        Decay of the moments, and what is added to the root of the second.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float], eps: float) -> None:
        self.param_groups = [{"betas": betas, "eps": eps, **group, "params": list(group["params"])} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._seen: dict[Tensor, NDArray[np.bool_]] = {}

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Moments by number of the parameter, and the groups with numbers in place of parameters."""
        numbers = {parameter: number for number, parameter in enumerate(self._parameters())}
        groups = [{**group, "params": [numbers[one] for one in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[one]: dict(slots) for one, slots in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; which blocks have had gradients is told from its moments."""
        parameters = self._parameters()
        for group, loaded in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({name: value for name, value in loaded.items() if name != "params"})
        self.state = {
            parameters[number]: {
                # Counts stay in single precision whatever the parameter is.
                name: value.to(parameters[number].device, None if name == "step" else parameters[number].dtype)
                for name, value in slots.items()
            }
            for number, slots in state_dict["state"].items()
        }
        self._seen.clear()

    @torch.no_grad()
    def step(self) -> None:
        """One step for all parameters that have a gradient."""
        for group in self.param_groups:
            used = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in used:
                if not self.state.get(parameter):
                    self.state[parameter] = {
                        # Beside the parameter, as the fused kernel on CUDA reads it there without making the host wait.
                        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                        "exp_avg": torch.zeros_like(parameter),
                        "exp_avg_sq": torch.zeros_like(parameter),
                    }
                if _in_blocks(parameter):
                    self._step_in_blocks(parameter, group)
            self._step_fused([parameter for parameter in used if not _in_blocks(parameter)], group)

    def _step_fused(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        if not parameters:
            return
        steps, means, squares = (
            [self.state[parameter][name] for parameter in parameters] for name in ("step", "exp_avg", "exp_avg_sq")
        )
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            means,
            squares,
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _step_in_blocks(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
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
