"""What fits share: parts in order, every item once per pass, averaged weights lent and taken back."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

from napari_dainr.inr.averaging import WeightAverage
from napari_dainr.inr.fitting import (
    NetworkFit,
    adamw,
    item_of_step,
    late_decay,
    member_seed,
    side_by_side,
    sum_gradients,
)
from napari_dainr.inr.parallel import get_threads, set_threads, threads_for_a_trial


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> object:
    before = get_threads()
    set_threads(request.param)
    yield request.param
    set_threads(before)


@pytest.mark.usefixtures("threads")
def test_parts_come_back_in_order_with_the_mode_of_the_caller() -> None:
    weight = torch.ones(3, requires_grad=True)

    def work(part: int) -> Tensor:
        return (weight * part).sum()

    results = side_by_side(work, 5, torch.device("cpu"))
    assert [r.item() for r in results] == [0, 3, 6, 9, 12] and all(r.requires_grad for r in results)
    with torch.no_grad():
        assert not any(r.requires_grad for r in side_by_side(work, 5, torch.device("cpu")))


def test_parts_use_threads_and_errors_arrive() -> None:
    before = get_threads()
    set_threads(2)
    try:
        meet = threading.Barrier(2, timeout=20)  # breaks unless both parts run at the same time
        assert sorted(side_by_side(lambda part: meet.wait(), 2, torch.device("cpu"))) == [0, 1]
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda part: 1 // part, 2, torch.device("cpu"))
    finally:
        set_threads(before)


def test_a_trial_gives_way_to_whoever_sets_the_threads() -> None:
    before = get_threads()
    set_threads(2)
    try:
        with threads_for_a_trial(1):
            assert get_threads() == 1
        assert get_threads() == 2
        with threads_for_a_trial(1):
            set_threads(3)  # a fit begins while a forecast is being made
            assert get_threads() == 3
        assert get_threads() == 3
    finally:
        set_threads(before)


def test_trials_that_overlap_end_in_any_order() -> None:
    before = get_threads()
    set_threads(2)
    try:
        first, second = threads_for_a_trial(1), threads_for_a_trial(4)
        with first:
            second.__enter__()
        assert get_threads() == 4, "the second is still under way"
        second.__exit__(None, None, None)
        assert get_threads() == 2
    finally:
        set_threads(before)


def test_any_seed_will_do() -> None:
    for seed in (2**31, 2**32 - 1, 2**63, 2**80):
        of_member = member_seed(seed, 1)
        assert torch.Generator().manual_seed(of_member).initial_seed() == of_member
        assert sorted(item_of_step(i, 5, seed=of_member) for i in range(5)) == [0, 1, 2, 3, 4]


def test_every_item_once_per_pass_in_orders_that_differ() -> None:
    orders = [[item_of_step(p * 7 + i, 7, seed=3) for i in range(7)] for p in range(4)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert [item_of_step(i, 7, seed=4) for i in range(7)] != orders[0]


def test_late_decay() -> None:
    assert [late_decay(s, 100, 0.01) for s in (0, 50)] == [1, 1]
    assert late_decay(75, 100, 0.01) == pytest.approx(0.1) and late_decay(100, 100, 0.01) == pytest.approx(0.01)


def test_gradients_add_up() -> None:
    a, b, c = ([torch.randn(3), torch.randn(2, 2)] for _ in range(3))
    for total, parts in zip(sum_gradients([a, b, c]), zip(a, b, c, strict=True), strict=True):
        assert torch.equal(total, parts[0] + parts[1] + parts[2])


def test_averaged_weights_are_lent_and_taken_back() -> None:
    network = nn.Linear(2, 1, bias=False)
    fit = NetworkFit.new(network, 0.1, ema=0.5)
    history = []
    for _ in range(3):
        fit.descend([torch.ones(1, 2)])
        history.append(network.weight.detach().clone())
    expected = (history[0] * 0.125 + history[1] * 0.25 + history[2] * 0.5) / 0.875
    with fit.averaged():
        assert torch.allclose(network.weight, expected)
        assert not torch.is_grad_enabled()
    assert torch.equal(network.weight, history[2])


def test_descending_is_adam() -> None:
    """Against AdamW's formula by hand, first step: w ← w (1 − r η λ) − r η g / (|g| + ε)."""
    network = nn.Linear(3, 1, bias=False)
    before, gradient = network.weight.detach().clone(), torch.tensor([[2.0, -0.5, 1e-3]])
    NetworkFit.new(network, 0.1, weight_decay=0.2, ema=0.0).descend([gradient], rate=0.5)
    assert torch.allclose(network.weight, before * (1 - 0.05 * 0.2) - 0.05 * gradient.sign(), atol=1e-5)


def test_groups_keep_their_own_rates_and_what_has_no_gradient_stays() -> None:
    network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    first, second, third = network.parameters()
    optimiser = adamw(
        {"params": [first, third], "lr": 0.1, "weight_decay": 0.0},
        {"params": [], "lr": 1.0, "weight_decay": 0.0},
        {"params": [second], "lr": 0.3, "weight_decay": 0.0},
    )
    before = [p.detach().clone() for p in (first, second, third)]
    fit = NetworkFit(network, optimiser, WeightAverage.over(network, 0.0))
    assert fit.average is None
    for _ in range(2):  # the rate is of the first one, not of the last step's
        fit.descend([torch.ones(1, 2), torch.ones(1, 1), None], rate=0.5)
    assert torch.allclose(first, before[0] - 2 * 0.05, atol=1e-5)
    assert torch.allclose(second, before[1] - 2 * 0.15, atol=1e-5)
    assert torch.equal(third, before[2])


def test_a_packed_fit_goes_on_where_it_was() -> None:
    def fresh(seed: int) -> NetworkFit:
        torch.manual_seed(seed)
        return NetworkFit.new(nn.Linear(3, 2), 0.1, weight_decay=0.01, ema=0.9)

    draw = torch.Generator().manual_seed(0)
    steps = [[torch.randn(2, 3, generator=draw), torch.randn(2, generator=draw)] for _ in range(5)]
    straight, stopped, resumed = fresh(0), fresh(0), fresh(1)
    for gradients in steps:
        straight.descend([g.clone() for g in gradients])
    for gradients in steps[:2]:
        stopped.descend([g.clone() for g in gradients])
    resumed.unpack({name: tensor.clone() for name, tensor in stopped.pack().items()} | {"other": torch.zeros(1)})
    for gradients in steps[2:]:
        resumed.descend([g.clone() for g in gradients])
    expected, found = straight.pack(), resumed.pack()
    assert expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)


def test_members_of_neighbouring_seeds_differ() -> None:
    assert len({member_seed(seed, member) for seed in range(10) for member in range(16)}) == 160
