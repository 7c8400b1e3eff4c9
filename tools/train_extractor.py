#!/usr/bin/env python
"""Train DynRes, the extractor that comes with the package, on simulated scenes, from nothing to a file of weights.

    python tools/train_extractor.py --work scenes/ -o resources/dynres.safetensors

Scenes are kept in the folder ``--work``, so that a run that was interrupted does not make them again. On one core that
multiplies matrices in bfloat16 it takes about an hour. The result depends on the processor in its last digits.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scenes import Scene, make_scene
from torch import Tensor, nn

from napari_dainr.inr.extractors.dynres import DynRes, Shown
from napari_dainr.inr.parallel import set_threads

PATCH, BATCH = 40, 16
RATE, WARM_UP, DECAY = 1e-3, 100, 1e-4
N_HELD_OUT = 14
LOOK_EVERY = 200


def scene_of(seed: int, folder: Path) -> Scene:
    """A scene, from the folder where it has been made before."""
    path = folder / f"{seed:05d}.safetensors"
    if not path.exists():
        scene = make_scene(seed)
        arrays = {name: value for name, value in asdict(scene).items() if name != "noise"}
        save_file(arrays | {"noise": torch.tensor(scene.noise, dtype=torch.float64)}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        print(f"scene {seed}", flush=True)
    held = load_file(path)
    return Scene(held["truth"], held["images"], held["residual"], float(held["noise"]))


def seen(scene: Scene) -> tuple[Tensor, Tensor, float]:
    """All frames as the network sees them, what it should return, and the mean square of that."""
    shown = Shown(scene.images, scene.residual, scene.noise)
    frames = range(len(scene.images))
    inputs = torch.stack([shown.frame(frame) for frame in frames])
    targets = torch.stack([shown.target(scene.truth[frame], frame) for frame in frames])
    return inputs, targets, float(targets.square().sum(dim=1).mean())


def fresh_network() -> DynRes:
    """Each block, and the whole, begins as doing nothing."""
    torch.manual_seed(0)
    network = DynRes()
    for layer in (network.last, network.linear, *(block.outer for block in network.blocks)):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return network.to(memory_format=torch.channels_last)


def some_patches(scenes: list[tuple[Tensor, Tensor, float]], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Patches of random frames, turned and mirrored at random, with the weight of each."""
    inputs, targets, weights = [], [], []
    for _ in range(BATCH):
        shown, target, size = scenes[rng.integers(len(scenes))]
        frame, side = rng.integers(len(shown)), shown.shape[-1]
        top, left = rng.integers(0, side - PATCH + 1, 2)
        turns, mirrored = int(rng.integers(4)), rng.uniform() < 0.5
        for kept, whole in ((inputs, shown), (targets, target)):
            patch = torch.rot90(whole[frame, :, top : top + PATCH, left : left + PATCH], turns, (-2, -1))
            kept.append(patch.flip(-1) if mirrored else patch)
        weights.append(1 / size)
    shown = torch.stack(inputs).contiguous(memory_format=torch.channels_last)
    return shown, torch.stack(targets), torch.tensor(weights)[:, None, None, None]


def gain_db(network: DynRes, scene: tuple[Tensor, Tensor, float]) -> float:
    """How much smaller the error of the two frames in the middle becomes."""
    shown, target, _ = scene
    middle = slice(len(shown) // 2 - 1, len(shown) // 2 + 1)
    with torch.no_grad():
        left = target[middle] - network.features(shown[middle])
    return 10 * math.log10(float(target[middle].square().sum() / left.square().sum()))


def train(scenes: list[tuple[Tensor, Tensor, float]], n_steps: int, out: Path) -> None:
    """AdamW on the squared error, each scene's divided by the mean of its own; the rate falls along a cosine."""
    held_out, scenes = scenes[:N_HELD_OUT], scenes[N_HELD_OUT:]
    network, rng = fresh_network(), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    began, losses = time.perf_counter(), []
    for step in range(n_steps):
        rate = RATE * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / n_steps))
        optimiser.param_groups[0]["lr"] = rate
        shown, target, weight = some_patches(scenes, rng)
        with torch.autocast("cpu", torch.bfloat16):
            deep = network.deep(shown)
        loss = ((deep.float() + network.linear(shown) - target).square() * weight).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.detach())
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == n_steps:
            gains = [gain_db(network, scene) for scene in held_out]
            print(
                f"{step + 1} of {n_steps}: loss {float(torch.stack(losses[-LOOK_EVERY:]).mean()):.3f}; "
                f"held-out scenes gain {np.mean(gains):.2f} dB ({min(gains):.2f} to {max(gains):.2f}); "
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )
            save_file({name: value.contiguous() for name, value in network.state_dict().items()}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument(
        "--first", type=int, default=0, help="make only the scenes from this one on, for a second process"
    )
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--work", type=Path, required=True, help="folder for the scenes")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    scenes = [seen(scene_of(seed, given.work)) for seed in range(given.first, given.scenes)]
    if given.first == 0:
        train(scenes, given.steps, given.out)


if __name__ == "__main__":
    main()
