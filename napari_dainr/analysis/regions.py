"""Regions of interest: what they are, where they lie, and the file that keeps them.

A region lies in the world, in millimetres, and not in pixels: the same region can be laid over every series of the
same field of view. Regions and sets of them are never changed, only replaced, so a step back is the former value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.phases import Phase, phases_from_facts, phases_to_facts
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.errors import InputError

__all__ = ["KINDS", "OUTLINES", "ROLES", "Region", "RegionSet", "Role", "box_corners", "ellipse_corners", "read_region"]

OUTLINES = ("ellipse", "rectangle", "polygon", "freehand", "voxel")
"""Shapes that can be drawn."""
KINDS = (*OUTLINES, "threshold")
"""Shapes, and the brightest part of one."""
SCHEMA = 1
FORMAT = "napari-dainr regions"

_MOST_VERTICES = 100_000
_CORNERS = {"ellipse": 4, "rectangle": 4, "voxel": 1}


@dataclass(frozen=True)
class Role:
    """How regions of one kind of tissue are drawn.

    Parameters
    ----------
    title
        For tables and legends.
    colour
        ``#rrggbb``, of the Okabe–Ito palette, which colour-blind people can tell apart.
    dashes
        (offset, (on, off, …)) in points, as matplotlib's line styles; on ``()`` a solid line. Colour is never the only
        difference between two roles.
    """

    title: str
    colour: str
    dashes: tuple[float, tuple[float, ...]]

    @property
    def line_style(self) -> str | tuple[float, tuple[float, ...]]:
        """As matplotlib wants it."""
        return self.dashes if self.dashes[1] else "-"


# M. Okabe, K. Ito: Color Universal Design, 2008; without black and yellow, which vanish on dark and on light ground.
ROLES: dict[str, Role] = {
    "AO": Role("Aorta", "#D55E00", (0, ())),
    "PV": Role("Portal vein", "#0072B2", (0, (6, 2))),
    "LIVER": Role("Liver", "#009E73", (0, (6, 2, 1.5, 2))),
    "LV": Role("Left ventricle", "#CC79A7", (0, (3, 1.5))),
    "MYO": Role("Myocardium", "#E69F00", (0, (1.5, 1.5))),
    "OTHER": Role("Other", "#56B4E9", (0, (8, 2, 1.5, 2, 1.5, 2))),
}
"""Key in files → role."""


@dataclass(frozen=True, eq=False)
class Region:
    """One region of interest.

    Parameters
    ----------
    vertices : (n, 2) float64
        World (y, x), millimetres, read-only. ``rectangle`` and ``ellipse``: four corners in order, for an ellipse of
        the rectangle around it, at any angle. ``polygon`` and ``freehand``: three or more, closed by themselves; an
        outline that crosses itself is filled by the even–odd rule. ``voxel``: one point.
    kind
        One of :data:`KINDS`.
    role
        A key of :data:`ROLES`.
    name
        What the user calls it; not empty.
    id
        A UUID that stays with the region through renaming, moving, saving and loading.
    locked
        Whether the viewer refuses to move, change or delete it.
    outline
        Shape of the outline; the kind itself, except for ``threshold``.
    fraction
        For ``threshold``: the part of the pixels inside the outline that is kept, those with the highest peak
        enhancement; above 0, at most 1. None for every other kind.
    arrival_s
        Bolus arrival set by hand, seconds from the first spoke; None to have it found.

    Raises
    ------
    InputError
        One sentence that names the region and what is wrong with it.
    """

    vertices: NDArray[np.float64]
    kind: str = "polygon"
    role: str = "OTHER"
    name: str = ""
    id: str = field(default_factory=lambda: str(uuid4()))
    locked: bool = False
    outline: str = ""
    fraction: float | None = None
    arrival_s: float | None = None

    def __post_init__(self) -> None:
        def put(key: str, value: object) -> None:
            object.__setattr__(self, key, value)

        put("name", " ".join(str(self.name).split()) or (ROLES[self.role].title if self.role in ROLES else "region"))
        if self.kind not in KINDS:
            raise InputError(f"{self.name}: the kind {self.kind!r} is not known; use one of {', '.join(KINDS)}.")
        if self.role not in ROLES:
            raise InputError(f"{self.name}: the role {self.role!r} is not known; use one of {', '.join(ROLES)}.")
        try:
            put("id", str(UUID(str(self.id))))
        except ValueError:
            raise InputError(f"{self.name}: its id {self.id!r} is not a UUID; remove it to get a new one.") from None
        if self.arrival_s is not None:
            put("arrival_s", float(self.arrival_s))
            if not isfinite(self.arrival_s):
                raise InputError(f"{self.name}: its bolus arrival is {self.arrival_s} s; give a finite time.")
        self._check_outline(put)
        self._check_vertices(put)

    def _check_outline(self, put: Any) -> None:
        if self.kind != "threshold":
            if self.outline not in ("", self.kind) or self.fraction is not None:
                raise InputError(
                    f"{self.name}: an outline or a fraction of its own belongs to the kind threshold, "
                    f"not to {self.kind}; leave it out."
                )
            put("outline", self.kind)
            return
        put("outline", self.outline or "polygon")
        if self.outline not in OUTLINES or self.outline == "voxel":
            raise InputError(
                f"{self.name}: the outline {self.outline!r} cannot hold a threshold; use {', '.join(OUTLINES[:-1])}."
            )
        put("fraction", 0.2 if self.fraction is None else float(self.fraction))
        assert self.fraction is not None
        if not 0 < self.fraction <= 1:
            raise InputError(f"{self.name}: the fraction {self.fraction:g} must be above 0 and at most 1.")

    def _check_vertices(self, put: Any) -> None:
        try:
            vertices = np.array(self.vertices, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{self.name}: its vertices are not numbers; give (y, x) pairs in millimetres.") from None
        if vertices.ndim != 2 or vertices.shape[1] != 2:
            raise InputError(f"{self.name}: vertices have shape {vertices.shape}; (y, x) pairs are needed.")
        wanted = _CORNERS.get(self.outline)
        if wanted is not None and len(vertices) != wanted:
            raise InputError(f"{self.name}: {len(vertices)} vertices do not make a {self.outline}; {wanted} do.")
        if wanted is None and not 3 <= len(vertices) <= _MOST_VERTICES:
            raise InputError(
                f"{self.name}: {len(vertices)} vertices do not make a {self.outline}; 3 to {_MOST_VERTICES} do."
            )
        if not np.isfinite(vertices).all():
            raise InputError(f"{self.name}: a vertex is not finite; draw the region again.")
        vertices.setflags(write=False)
        put("vertices", vertices)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Region):
            return NotImplemented
        return self._facts() == other._facts() and np.array_equal(self.vertices, other.vertices)

    def __hash__(self) -> int:
        return hash(self.id)

    def _facts(self) -> tuple[object, ...]:
        return (self.id, self.name, self.role, self.kind, self.outline, self.fraction, self.locked, self.arrival_s)

    @property
    def colour(self) -> str:
        """``#rrggbb`` of its role."""
        return ROLES[self.role].colour

    def changed(self, **changes: Any) -> Region:
        """The same region (same id) with other fields."""
        return replace(self, **changes)

    def moved(self, dy_mm: float, dx_mm: float) -> Region:
        """The same region elsewhere."""
        return replace(self, vertices=self.vertices + np.array([dy_mm, dx_mm]))

    def duplicate(self, name: str | None = None, shift_mm: tuple[float, float] = (0.0, 0.0)) -> Region:
        """Another region (new id, not locked, nothing set by hand) of the same shape, shifted."""
        vertices = self.vertices + np.asarray(shift_mm, np.float64)
        name = self.name if name is None else name
        return replace(self, id=str(uuid4()), name=name, locked=False, arrival_s=None, vertices=vertices)

    def to_facts(self) -> dict[str, Any]:
        """As it stands in a JSON file."""
        facts: dict[str, Any] = {"id": self.id, "name": self.name, "role": self.role, "kind": self.kind}
        if self.kind == "threshold":
            facts |= {"outline": self.outline, "fraction": self.fraction}
        if self.arrival_s is not None:
            facts["arrival_s"] = self.arrival_s
        return facts | {"locked": self.locked, "vertices_mm": self.vertices.tolist()}


def box_corners(y0: float, x0: float, y1: float, x1: float) -> NDArray[np.float64]:
    """Corners of an upright rectangle, in order: what an ellipse or a rectangle needs."""
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], dtype=np.float64)


def ellipse_corners(centre: ArrayLike, radii: tuple[float, float], angle_deg: float = 0.0) -> NDArray[np.float64]:
    """Corners of the rectangle around an ellipse with (y, x) radii, turned by an angle from +x towards +y."""
    angle = np.deg2rad(angle_deg)
    along_x = radii[1] * np.array([np.sin(angle), np.cos(angle)])
    along_y = radii[0] * np.array([np.cos(angle), -np.sin(angle)])
    middle = np.asarray(centre, np.float64)
    return np.stack([middle - along_y - along_x, middle - along_y + along_x, middle + along_y + along_x,
                     middle + along_y - along_x])  # fmt: skip


@dataclass(frozen=True)
class RegionSet:
    """Regions in the order in which they are listed, the image they were drawn on, and how their curves are read.

    Parameters
    ----------
    regions
        Each id at most once.
    geometry
        Of the image, where it is known.
    baseline_s
        Baseline window set by hand, (start, end) in seconds from the first spoke; None to have it found.
    phases
        Contrast phases set by hand, in order of time; None to have them suggested.

    Raises
    ------
    InputError
        If an id stands there twice, or the window is none.
    """

    regions: tuple[Region, ...] = ()
    geometry: PixelGrid | None = None
    baseline_s: tuple[float, float] | None = None
    phases: tuple[Phase, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "regions", tuple(self.regions))
        if self.baseline_s is not None:
            start, end = (float(at) for at in self.baseline_s)
            if not (isfinite(start) and isfinite(end) and start <= end):
                raise InputError(f"regions: the baseline from {start:g} to {end:g} s is no window; set it again.")
            object.__setattr__(self, "baseline_s", (start, end))
        ids = [region.id for region in self.regions]
        if len(set(ids)) < len(ids):
            twice = next(region.name for region in self.regions if ids.count(region.id) > 1)
            raise InputError(f"regions: {twice} stands there twice with the same id; remove one of them.")

    def __len__(self) -> int:
        return len(self.regions)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def get(self, region_id: str) -> Region | None:
        """The region with this id."""
        return next((region for region in self.regions if region.id == region_id), None)

    def first(self, role: str) -> Region | None:
        """The first region of a role."""
        return next((region for region in self.regions if region.role == role), None)

    def put(self, region: Region) -> RegionSet:
        """With the region in the place of the one with its id, or at the end."""
        if self.get(region.id) is None:
            return replace(self, regions=(*self.regions, region))
        return replace(self, regions=tuple(region if old.id == region.id else old for old in self.regions))

    def without(self, region_id: str) -> RegionSet:
        """Without the region with this id."""
        return replace(self, regions=tuple(region for region in self.regions if region.id != region_id))

    def free_name(self, name: str) -> str:
        """The name, or with the first free number behind it: ``Aorta``, ``Aorta 2``, ``Aorta 3``."""
        taken = {region.name for region in self.regions}
        number, wanted = 1, name
        while wanted in taken:
            number += 1
            wanted = f"{name} {number}"
        return wanted

    def to_json(self) -> str:
        """As text; the same regions come back, to the last bit."""
        facts: dict[str, Any] = {
            "format": FORMAT,
            "schema_version": SCHEMA,
            "note": RESEARCH_USE,
            "axes": ["y", "x"],
            "unit": "mm",
            "geometry": None if self.geometry is None else self.geometry.to_facts(),
            **self._by_hand(),
            "regions": [region.to_facts() for region in self.regions],
        }
        return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _by_hand(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if self.baseline_s is not None:
            facts["baseline_s"] = list(self.baseline_s)
        if self.phases is not None:
            facts["phases"] = phases_to_facts(self.phases)
        return facts

    @classmethod
    def from_json(cls, text: str, source: str = "regions") -> RegionSet:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        text
            The content of the file.
        source
            Name of the file, without folder, for the sentence of an error.

        Raises
        ------
        InputError
            If it is not such a text, or a region in it cannot be.
        """
        try:
            facts = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{source}: is not JSON; give a file of regions that this program saved.") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise InputError(f"{source}: holds no regions of this program; give a file that it saved as regions.")
        if facts.get("schema_version") != SCHEMA:
            found = facts.get("schema_version")
            raise InputError(f"{source}: schema_version is {found}, but {SCHEMA} is read; update the program.")
        try:
            geometry = None if facts.get("geometry") is None else PixelGrid.from_facts(facts["geometry"])
            window = facts.get("baseline_s")
            baseline_s = None if window is None else (float(window[0]), float(window[1]))
            phases = None if facts.get("phases") is None else phases_from_facts(facts["phases"])
            return cls(tuple(read_region(entry) for entry in facts["regions"]), geometry, baseline_s, phases)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:100]
            raise InputError(f"{source}: a field is missing or of the wrong kind ({reason}); save it again.") from None


def read_region(facts: dict[str, Any]) -> Region:
    """What :meth:`Region.to_facts` gave; raises InputError, KeyError, TypeError or ValueError if it is not that."""
    optional = {key: facts[key] for key in ("id", "outline", "fraction", "arrival_s") if facts.get(key) is not None}
    if "fraction" in optional and not isfinite(float(optional["fraction"])):
        raise InputError(f"{facts.get('name', 'region')}: its fraction is not finite; give one from 0 to 1.")
    locked = facts.get("locked", False)
    if not isinstance(locked, bool):
        raise InputError(f"{facts.get('name', 'region')}: locked must be true or false, not {locked!r}.")
    return Region(
        vertices=np.asarray(facts["vertices_mm"], dtype=np.float64),
        kind=str(facts["kind"]),
        role=str(facts.get("role", "OTHER")),
        name=str(facts.get("name", "")),
        locked=locked,
        **optional,
    )
