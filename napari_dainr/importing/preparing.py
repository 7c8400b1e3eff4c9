"""What is done to the samples before they are k-space: bad coils left out, noise whitened, partitions made slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.importing.options import ImportOptions
from napari_dainr.preparation.delays import corrected_ktraj, estimate_delays
from napari_dainr.preparation.noise import mix_coils, noise_covariance, whitening_matrix
from napari_dainr.preparation.partitions import describe_partitions, slices_of_partitions
from napari_dainr.preparation.screening import screen

__all__ = ["brightest_slice", "prepared", "with_delays"]

_SMALLEST, _LARGEST = 1e-10, 1e10
"""Within these the squares of samples and their sums keep their digits in single precision."""


def prepared(
    acquired: Acquired, options: ImportOptions, detected: dict[str, str], assumed: dict[str, str]
) -> tuple[Acquired, NDArray[np.bool_]]:
    """The readouts as slices of usable coils, and which spokes to keep; all spokes are still there.

    Raises
    ------
    InputError
        If nothing usable is left, or the partitions do not fit into their stack.
    """
    screening = screen(
        acquired.kdata,
        leave_out_coils=options.leave_out_coils,
        leave_out_spokes=options.leave_out_spokes,
        keep_all=options.keep_all,
    )
    for kind, reason in screening.reasons.items():
        detected[f"left-out {kind}"] = reason
    if screening.repeated:
        later, first = screening.repeated[0]
        detected["repeated spokes"] = (
            f"{len(screening.repeated)}, kept; spoke {later} holds the samples of spoke {first} bit by bit"
        )
    kept = screening.coils
    if not kept.all() or not screening.spokes.all():
        # Left-out spokes stay as zeros until the end, so that the spokes after them keep their numbers and angles.
        kdata = acquired.kdata[:, kept]
        kdata[:, :, ~screening.spokes] = 0
        acquired = replace(
            acquired,
            kdata=kdata,
            noise=None if acquired.noise is None else acquired.noise[kept],
            csm=None if acquired.csm is None else acquired.csm[:, kept],
        )
    acquired = _scaled(acquired, detected)
    acquired = _whitened(acquired, options, detected, assumed)
    if acquired.partitions is not None:
        stack = acquired.partitions
        kdata = slices_of_partitions(acquired.kdata, stack.numbers, stack.count, stack.centre, stack.reverse)
        detected["partitions"] = describe_partitions(stack.numbers, stack.count, stack.centre)
        planes = stack.planes(acquired.planes[0]) if acquired.planes else ()
        if planes:
            assumed["order of the slices"] = "along the slice direction of the header, by the sign of kz"
        acquired = replace(acquired, kdata=kdata, third="slice", partitions=None, planes=planes)
    return acquired, screening.spokes


def _scaled(acquired: Acquired, detected: dict[str, str]) -> Acquired:
    """Samples near the ends of single precision brought to its middle, by a power of two, which loses no digit."""
    largest = max(float(np.abs(one).max()) for one in acquired.kdata)
    if not np.isfinite(largest) or largest == 0 or _SMALLEST < largest < _LARGEST:
        return acquired
    exponent = int(np.floor(np.log2(largest)))
    factor = 2.0**-exponent
    detected["scale"] = f"samples up to {largest:.3g} multiplied by 2^{-exponent}"

    def times(values: NDArray[np.complex64]) -> NDArray[np.complex64]:
        # In double precision, because the factor itself may not exist in single.
        return np.stack([(one.astype(np.complex128) * factor).astype(np.complex64) for one in values])

    noise = None if acquired.noise is None else times(acquired.noise)
    return replace(acquired, kdata=times(acquired.kdata), noise=noise)


def _whitened(
    acquired: Acquired, options: ImportOptions, detected: dict[str, str], assumed: dict[str, str]
) -> Acquired:
    """Coils mixed so that their noise is white, where a noise scan tells how."""
    if acquired.noise is None:
        if "noise" not in assumed:
            detected["noise"] = "no noise scan in the file; coils are used as they are"
        return acquired
    if not options.prewhiten:
        detected["noise"] = "noise scan not used, as told; coils are used as they are"
        return acquired
    try:
        covariance = noise_covariance(acquired.noise, acquired.noise_bandwidth_ratio)
    except InputError as reason:
        assumed["noise"] = f"white and equal in all coils: {reason}"
        return acquired
    deviation = np.sqrt(np.diag(covariance).real)
    correlation = np.abs(covariance / np.outer(deviation, deviation)) - np.eye(len(covariance))
    detected["noise"] = (
        f"whitened by the noise scan of {acquired.noise.shape[1]} samples: deviations differed by a factor of "
        f"{deviation.max() / deviation.min():.2f}, the largest correlation of two coils was {correlation.max():.2f}; "
        f"bandwidth ratio {acquired.noise_bandwidth_ratio:.3f}"
    )
    white = whitening_matrix(covariance)
    kdata = mix_coils(white, acquired.kdata)
    csm = None if acquired.csm is None else mix_coils(white, acquired.csm)
    return replace(acquired, kdata=kdata, noise=mix_coils(white, acquired.noise[None])[0], csm=csm)


def brightest_slice(kdata: NDArray[np.complex64]) -> int:
    """The slice of (slice, coil, spoke, readout) with the largest samples, where there is most to measure."""
    return int(np.argmax([float(np.abs(one).max()) for one in kdata]))


def with_delays(kspace: KSpace, options: ImportOptions) -> KSpace:
    """The trajectory corrected for gradient delays where that is asked for; what was measured is said in any case.

    Raises
    ------
    InputError
        If delays are to be corrected and cannot be measured.
    """
    detected, assumed = kspace.detected, kspace.assumed
    key = "gradient delays"
    try:
        found = estimate_delays(kspace.kdata[brightest_slice(kspace.kdata)], kspace.ktraj, kspace.fov_mm)
    except InputError:
        if options.delays == "ring":
            raise
        return kspace
    agreement = (
        f"{found.pairs} crossings, where spokes differ by {100 * found.mismatch_before:.1f} % without "
        f"and {100 * found.mismatch:.1f} % with them"
    )
    if options.delays == "ring":
        if not found.clear:
            detected[key] = f"none to correct: {found}; {agreement}"
            return kspace
        detected[key] = f"corrected by RING: {found}; {agreement}"
        return replace(kspace, ktraj=corrected_ktraj(kspace.ktraj, found, kspace.fov_mm))
    if found.clear:
        assumed[key] = f"none, though spokes cross as if shifted by {found}; {agreement}; correct with delays ring"
    elif found.mismatch_before < 0.5:
        detected[key] = f"none beyond 0.05 samples or their error: {found}"
    return kspace
