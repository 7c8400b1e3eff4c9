"""The benchmark: every method on the same data with the same preparation, scored, tabled and drawn.

``napari-dainr bench`` runs it. Each fit is a process of its own, so that its memory is its own, and a run folder that
is never made twice.
"""
