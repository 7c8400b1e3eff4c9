"""The perceptron against its layers one by one, with gradients by autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_dainr.inr import networks
from napari_dainr.inr.networks import Mlp


def network(n_in: int = 7, n_out: int = 3, width: int = 16, depth: int = 3) -> Mlp:
    mlp = Mlp(n_in, n_out, width, depth, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in mlp.layers:
            layer.bias.normal_(generator=torch.Generator().manual_seed(1))
    return mlp


def layer_by_layer(mlp: Mlp, x: Tensor) -> Tensor:
    for layer in mlp.layers[:-1]:
        x = torch.relu(layer(x))
    out: Tensor = mlp.layers[-1](x)
    return out


def random(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", [0, 1, 4])
@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 2500])
def test_values_and_gradients(n: int, depth: int) -> None:
    """Whole chunks, parts of one, several and none; gradients to the rows and to every weight and bias."""
    mlp, x, slope = network(depth=depth), random(n, 7).requires_grad_(), random(n, 3, seed=3)
    targets = [x, *mlp.parameters()]
    got, expected = mlp(x), layer_by_layer(mlp, x)
    torch.testing.assert_close(got, expected)
    for mine, theirs in zip(
        torch.autograd.grad(got, targets, slope), torch.autograd.grad(expected, targets, slope), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


def test_gradcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "CHUNK", 2)
    mlp, x = network(width=5, depth=2).double(), random(5, 7).double().requires_grad_()
    weights = list(mlp.parameters())
    assert torch.autograd.gradcheck(lambda *_: mlp(x), (x, *weights))


def test_rows_that_want_no_gradient_and_strides() -> None:
    mlp = network()
    wide = random(7, 60)
    torch.testing.assert_close(mlp(wide.T), layer_by_layer(mlp, wide.T))
    mlp(wide.T).sum().backward()
    got = [p.grad.clone() for p in mlp.parameters() if p.grad is not None]
    mlp.zero_grad()
    layer_by_layer(mlp, wide.T).sum().backward()
    for mine, theirs in zip(got, mlp.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.grad, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert not mlp(wide.T).requires_grad


def test_a_second_derivative_is_refused_not_wrong() -> None:
    mlp, x = network(), random(4, 7).requires_grad_()
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.grad(mlp(x).sum(), x, create_graph=True)
