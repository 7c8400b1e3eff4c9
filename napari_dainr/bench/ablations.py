"""One setting at a time: λ of GRASP, encoder pairs and features of DA-INR, the weights of ST-INR, and BART outside."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

from napari_dainr.bench.bart import bart_program, bart_version, reconstruct_with_bart
from napari_dainr.bench.bench import Bench, table_of, with_settings
from napari_dainr.bench.document import Block, Heading, Picture, Table, Text
from napari_dainr.bench.figures import sweep_figure
from napari_dainr.bench.job import RUN, Measured
from napari_dainr.bench.reconstruction import SCORES, TIMES, figures_of
from napari_dainr.bench.scoring import Figures, cached, judge, scores_of
from napari_dainr.bench.suite import DataItem, MethodChoice, method_choice
from napari_dainr.io.state import load_state
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.methods.config import CONFIGS, DainrConfig, preset_values
from napari_dainr.run_folder import RunFolder

__all__ = ["encoders", "extractors", "lambda_sweep", "outside", "sensitivity"]

LAMBDA_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
BART_LAMBDAS = (0.003, 0.009)
MOST_LAMBDAS = 6
BART_ITERATIONS = 80
WEIGHT_FACTORS = (0.1, 1.0, 10.0)

Fitted = tuple[str, Measured]


def _variants(bench: Bench, item: DataItem, variants: list[MethodChoice]) -> list[Fitted]:
    found = []
    for choice in variants:
        done = bench.fit(item, choice)
        if done is not None:
            found.append((choice.label, done))
    return found


def _variant_table(item: DataItem, fitted: list[Fitted], first: str) -> Table:
    rows = [(label, figures_of([done], [scores_of(done, item)])) for label, done in fitted]
    return table_of(first, rows, [*SCORES, *TIMES], item.title)


def lambda_sweep(bench: Bench) -> list[Block]:
    """GRASP at multiples of the λ that it chooses itself."""
    blocks: list[Block] = [
        Heading(2, "λ of GRASP"),
        Text(
            "Left alone, GRASP chooses λ from the measured noise; here that λ is multiplied. The factor 1 is the "
            "default."
        ),
    ]
    factors = bench.choice("lambda").factors or LAMBDA_FACTORS
    sweeps: dict[str, list[tuple[float, float, float]]] = {}
    rows = []
    base = (bench.methods_of("lambda", ("grasp",)) or [method_choice("grasp")])[0]
    for item in bench.items_of("lambda"):
        points = []
        for factor in sorted({1.0, *factors}):
            # The factor 1 is the default itself: the same recipe, hence the same fit as in the main study.
            changed = {} if factor == 1 else {"lam_factor": factor}
            choice = with_settings(base, changed, f"{base.label} × {factor:g}")
            done = bench.fit(item, choice)
            if done is not None:
                figures = scores_of(done, item)
                points.append((factor, figures["psnr_fit"], figures["ssim_fit"]))
                lam = float(load_state(RunFolder(done.folder / RUN).state_path)[0]["lam"])
                cells = [f"{factor:g}", f"{lam:.2g}", f"{points[-1][1]:.2f}", f"{points[-1][2]:.4f}"]
                rows.append([item.name, *cells, f"{done.step}", f"{done.fit_s:.1f}"])
        if points:
            sweeps[item.name] = points
    if not sweeps:
        return []
    blocks.append(Table(["data", "factor", "λ", "psnr_fit (dB)", "ssim_fit", "iterations", "fit (s)"], rows))
    for name, points in sweeps.items():
        best = max(points, key=lambda point: point[1])
        default = next((point for point in points if point[0] == 1), None)
        if default is not None:
            blocks.append(
                Text(
                    f"{name}: the default is {best[1] - default[1]:.2f} dB below the best of these λ (factor "
                    f"{best[0]:g})."
                )
            )
    path, link = bench.picture("lambda")
    sweep_figure(sweeps, "factor on the λ chosen from the noise", path, "GRASP: sensitivity to λ")
    blocks.append(Picture(link, "GRASP: scores against the factor on λ"))
    return blocks


def outside(bench: Bench) -> list[Block]:
    """BART, its λ tuned by the true score, beside GRASP and DA-INR as they are."""
    blocks: list[Block] = [Heading(2, "An outside rival: BART")]
    if bart_program() is None:
        return [*blocks, Text("BART is not on the path of this machine, so it was not run.")]
    choice = bench.choice("bart")
    iterations = choice.iterations or BART_ITERATIONS
    blocks.append(
        Text(
            f"`bart pics -S -i{iterations} -R T:1024:0:λ` ({bart_version()}): temporal total variation by ADMM, on "
            "the same k-space, compressed to the same virtual coils, with the same maps. λ is tuned with the truth "
            "in hand, which no user has; GRASP and DA-INR run with their defaults. The seconds are those of `bart "
            "pics` alone."
        )
    )
    for item in bench.items_of("bart"):
        tried = {lam: _bart(bench, item, lam, iterations) for lam in choice.factors or BART_LAMBDAS}
        while choice.factors is None and len(tried) < MOST_LAMBDAS:
            # As long as the best λ is the smallest or the largest, the best may lie beyond.
            best = max(tried, key=lambda lam: tried[lam]["psnr_fit"])
            if min(tried) < best < max(tried):
                break
            beyond = best / 3 if best == min(tried) else best * 3
            tried[beyond] = _bart(bench, item, beyond, iterations)
        rows = [
            (f"BART, λ = {lam:.2g}", {name: [value] for name, value in tried[lam].items() if name != "rois"})
            for lam in sorted(tried)
        ]
        for name in ("grasp", "dainr"):
            done = bench.fit(item, method_choice(name))
            if done is not None:
                rows.append((method_choice(name).label, figures_of([done], [scores_of(done, item)])))
        blocks.append(
            table_of(
                "method", rows, [*SCORES, *(column for column in TIMES if column.name in ("fit_s", "peak"))], item.title
            )
        )
    return blocks


def _bart(bench: Bench, item: DataItem, lam: float, iterations: int) -> Figures:
    """Scores, seconds and memory of one BART reconstruction, made once."""
    from napari_dainr.data import bin_spokes
    from napari_dainr.io import read_kspace
    from napari_dainr.machine import cores

    threads = bench.threads or cores()
    facts = json.dumps([item.digest, item.judged_by, lam, iterations, threads, bart_version()])
    folder = bench.runner.runs / f"{item.name}-bart"
    folder.mkdir(parents=True, exist_ok=True)

    def make() -> Figures:
        bench.runner.say(f"{item.name} BART, λ = {lam:g}, {iterations} iterations")
        binned = bin_spokes(read_kspace(item.path), item.spokes_per_frame)
        image, seconds, peak = reconstruct_with_bart(binned, lam, iterations, threads=threads)
        return judge(image, item) | {"fit_s": seconds, "peak": peak / 1e6}

    return cached(folder, f"lambda-{lam:g}-{iterations}", facts, make)


def encoders(bench: Bench) -> list[Block]:
    """Table IV: the encoders of the deformation and the canonical network."""
    names = {"freq": "Freq", "hash": "Hash"}
    pairs = [("freq", "freq"), ("hash", "freq"), ("hash", "hash"), ("freq", "hash")]
    variants = [
        with_settings(
            method_choice("dainr"),
            {"deform_encoding": deform, "canonical_encoding": canonical},
            f"{names[deform]}-{names[canonical]}" + (" (default)" if (deform, canonical) == ("freq", "hash") else ""),
        )
        for deform, canonical in pairs
    ]
    blocks: list[Block] = [
        Heading(2, "Encoder pairs of DA-INR"),
        Text("Table IV: encoding of the deformation network, then of the canonical network; all else as by default."),
    ]
    for item in bench.items_of("encoders"):
        fitted = _variants(bench, item, variants)
        if fitted:
            blocks.append(_variant_table(item, fitted, "encoders"))
    return blocks if len(blocks) > 2 else []


def feature_choices() -> list[MethodChoice]:
    """DA-INR with every image feature of its settings, and with every extractor: ours looks at a reconstruction."""
    fields = DainrConfig.model_fields
    features, known = get_args(fields["feature"].annotation), get_args(fields["extractor"].annotation)
    ours = method_choice("dainr")
    choices = [with_settings(ours, {"feature": name, "extractor": "none"}, str(name)) for name in features]
    for name in known:
        if name not in ("none", "auto"):
            feature, of = ("lowrank", "low-rank") if name == "dynres" else ("nufft", "the NuFFT")
            choices.append(with_settings(ours, {"feature": feature, "extractor": name}, f"{name} of {of}"))
    default = {"feature": DainrConfig().feature, "extractor": DainrConfig().extractor_used}
    for number, choice in enumerate(choices):
        if choice.settings == default:
            choices[number] = replace(choice, label=f"{choice.label} (default)")
            return choices
    return [*choices, replace(ours, label="default")]


def extractors(bench: Bench) -> list[Block]:
    """Table V: what the canonical network is given as image features."""
    variants = bench.choice("extractors").methods or feature_choices()
    blocks: list[Block] = [
        Heading(2, "Image features of DA-INR"),
        Text(
            "Table V: the image features that the canonical network is given; all else as by default. Extractors whose "
            "published weights are not at hand are left out; the end of this page says so."
        ),
    ]
    for item in bench.items_of("extractors"):
        fitted = _variants(bench, item, variants)
        if fitted:
            blocks.append(_variant_table(item, fitted, "feature"))
    return blocks if len(blocks) > 2 else []


def sensitivity(bench: Bench) -> list[Block]:
    """Fig. 3: ST-INR with its weights changed, with another misfit, and without its regularisers (which is HashINR)."""
    if "stinr" not in METHOD_NAMES:
        return []
    base = (bench.methods_of("sensitivity", ("stinr",)) or [method_choice("stinr")])[0]
    blocks: list[Block] = [
        Heading(2, "Sensitivity of ST-INR"),
        Text(
            "Fig. 3: Eq. 10 of the paper with the weights λ_S (temporal total variation) and λ_L (low rank) "
            "multiplied one at a time, with another misfit, and with the regularisers switched otherwise. R2 is the "
            "relative L2 misfit."
        ),
    ]
    factors = sorted({1.0, *(bench.choice("sensitivity").factors or WEIGHT_FACTORS)})
    for item in bench.items_of("sensitivity"):
        fitted: dict[str, Measured] = {}
        sweeps: dict[str, list[tuple[float, float, float]]] = {}
        for label, settings in _stinr_variants(base, factors):
            done = bench.fit(item, with_settings(base, settings, label))
            if done is not None:
                fitted[label] = done
        for symbol in ("λ_S", "λ_L"):
            scored = {factor: fitted.get("default" if factor == 1 else f"{symbol} × {factor:g}") for factor in factors}
            points = [(factor, scores_of(done, item)) for factor, done in scored.items() if done is not None]
            if points:
                sweeps[symbol] = [(factor, score["psnr_fit"], score["ssim_fit"]) for factor, score in points]
        if fitted:
            blocks.append(_variant_table(item, list(fitted.items()), "variant"))
        if sweeps:
            path, link = bench.picture(f"sensitivity-{item.name}")
            sweep_figure(sweeps, "factor on the weight", path, f"{item.name}: ST-INR and its weights")
            blocks.append(Picture(link, f"{item.name}: scores of ST-INR against its weights (as Fig. 3)"))
    return blocks if len(blocks) > 2 else []


def _stinr_variants(base: MethodChoice, factors: list[float]) -> list[tuple[str, dict[str, Any]]]:
    """Label and changed settings of each bar of Fig. 3."""
    given = CONFIGS["stinr"].model_validate(preset_values("stinr", base.preset, base.settings)).model_dump()
    variants: list[tuple[str, dict[str, Any]]] = [("default", {})]
    for symbol, name in (("λ_S", "lam_sparse"), ("λ_L", "lam_lowrank")):
        variants += [(f"{symbol} × {factor:g}", {name: factor * given[name]}) for factor in factors if factor != 1]
    variants.append(("λ_S = λ_L = 0", {"lam_sparse": 0.0, "lam_lowrank": 0.0}))
    variants.append(("L1 in place of R2", {"loss": "l1"}))
    variants.append(("temporal total variation from step 0", {"sparse_after": 0}))
    return variants
