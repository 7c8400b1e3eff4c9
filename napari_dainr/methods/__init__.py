"""Reconstruction methods, their settings and the loop that runs them."""

METHOD_NAMES = ("nufft", "grasp", "lowrank", "tddip", "hashinr", "stinr", "fmlp", "nik", "dainr")
"""Every method, in the order of the paper's tables; here so that ``--help`` loads nothing to list them."""
