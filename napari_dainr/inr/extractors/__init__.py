"""Frozen image feature extractors with published weights: EDSR, MDSR, RDN, SwinIR (Table V of the paper).

One file per family. A further extractor is a subclass of :class:`FeatureExtractor` in a file of its own, one line in
``loading.ARCHITECTURES`` and one name in ``methods.config.dainr.Extractor``. Weights that come with the package are a
file in ``resources``, one line in ``loading.BUNDLED`` and the name in ``methods.config.dainr.WITH_WEIGHTS``.
"""

from __future__ import annotations

from napari_dainr.inr.extractors.base import FeatureExtractor
from napari_dainr.inr.extractors.loading import ARCHITECTURES, BUNDLED, load_extractor
from napari_dainr.inr.extractors.published import PUBLISHED, fetch_weights, weights_folder

__all__ = [
    "ARCHITECTURES",
    "BUNDLED",
    "PUBLISHED",
    "FeatureExtractor",
    "fetch_weights",
    "load_extractor",
    "weights_folder",
]
