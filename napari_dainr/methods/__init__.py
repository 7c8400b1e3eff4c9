"""Reconstruction methods: one file each, all with the contract of :mod:`napari_dainr.methods.base`."""
