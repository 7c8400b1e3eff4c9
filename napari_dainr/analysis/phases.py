"""Contrast phases suggested from the arrival of the bolus in aorta and portal vein. A suggestion, not a diagnosis.

Phases are defined by which vessels are filled, not by seconds: early arterial while the aorta is enhanced and the
portal vein is not, late arterial while the portal vein begins to be, portal venous around its peak.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari_dainr.analysis.quantities import Quantities

__all__ = [
    "AGENTS",
    "BY_HAND",
    "Phase",
    "PhaseSuggestion",
    "phases_from_facts",
    "phases_to_facts",
    "start_limits",
    "suggest_from_roles",
    "suggest_phases",
    "with_start",
]

AGENTS: dict[str, str] = {
    "unknown": "agent not stated",
    "extracellular": "extracellular agent",
    "gadoxetate": "gadoxetate (taken up by hepatocytes)",
}
"""Contrast agent → its name in a caption; it decides what the phase after the portal venous one is called."""

BY_HAND = "Set by hand, begun as a suggestion; not a diagnosis."
"""To be shown beside phases that somebody changed."""

_LATER = {"unknown": "After portal venous", "extracellular": "Delayed", "gadoxetate": "Transitional"}
_LATER_FROM_S = 120.0
_HEPATOBILIARY_FROM_S = 1200.0


@dataclass(frozen=True)
class Phase:
    """A stretch of time.

    Parameters
    ----------
    name
        For instance ``Late arterial``.
    start_s, end_s
        Seconds from the first spoke; the end belongs to the next phase.

    Raises
    ------
    InputError
        If it has no name, or does not end after it begins.
    """

    name: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", " ".join(str(self.name).split()))
        if not self.name:
            raise InputError("phases: one of them has no name; give it one.")
        if not (isfinite(self.start_s) and isfinite(self.end_s) and self.start_s < self.end_s):
            raise InputError(
                f"phases: {self.name} lasts from {self.start_s:g} to {self.end_s:g} s; it must end after it begins."
            )


@dataclass(frozen=True)
class PhaseSuggestion:
    """Phases in order of time, or the reason why there are none.

    Parameters
    ----------
    phases
        Possibly none.
    reason
        Why there are none, one sentence; empty if there are.
    agent
        Key of :data:`AGENTS`.
    """

    phases: tuple[Phase, ...]
    reason: str = ""
    agent: str = "unknown"

    @property
    def note(self) -> str:
        """To be shown wherever the phases are."""
        return f"Suggested from the curves, {AGENTS[self.agent]}; not a diagnosis."

    def at(self, time_s: float) -> str | None:
        """Name of the phase at a time."""
        last = len(self.phases) - 1
        for number, phase in enumerate(self.phases):
            if phase.start_s <= time_s < phase.end_s or (number == last and time_s == phase.end_s):
                return phase.name
        return None


def suggest_phases(
    aorta: Quantities | None,
    portal_vein: Quantities | None,
    first_s: float,
    last_s: float,
    *,
    agent: str = "unknown",
    margin_s: float = 10.0,
) -> PhaseSuggestion:
    """Phases between the first and the last time of a series.

    Precontrast until the bolus arrives in the aorta; early arterial until it arrives in the portal vein; late arterial
    until ``margin_s`` before the peak of the portal vein; portal venous until two minutes after the arrival in the
    aorta; then, by agent, delayed or transitional, and hepatobiliary from twenty minutes on.

    Parameters
    ----------
    aorta, portal_vein
        Quantities of the two curves, on the same time axis; None where no such region was drawn.
    first_s, last_s
        Times of the first and the last frame, seconds.
    agent
        Key of :data:`AGENTS`.
    margin_s
        How long before its peak the portal vein counts as full, seconds.

    Returns
    -------
    PhaseSuggestion
        Only phases that begin before the series ends.

    Raises
    ------
    InputError
        For an unknown agent.
    """
    if agent not in AGENTS:
        raise InputError(f"phases: the agent {agent!r} is not known; use one of {', '.join(AGENTS)}.")

    def none(reason: str) -> PhaseSuggestion:
        return PhaseSuggestion((), reason, agent)

    if aorta is None or portal_vein is None:
        missing = "an aorta (AO)" if aorta is None else "a portal vein (PV)"
        return none(f"Draw {missing} region to get contrast phases suggested.")
    arrival, portal, peak = aorta.bolus_arrival_time_s, portal_vein.bolus_arrival_time_s, portal_vein.maximum_time_s
    if arrival is None or portal is None or peak is None:
        where = "aorta" if arrival is None else "portal vein"
        return none(f"The curve of the {where} does not rise above its baseline, so no contrast phases are suggested.")
    if portal <= arrival:
        return none("The bolus seems to reach the portal vein before the aorta; check the roles of the two regions.")
    full = max(peak - margin_s, (portal + peak) / 2)
    later = max(arrival + _LATER_FROM_S, peak + margin_s)
    starts = [("Precontrast", first_s), ("Early arterial", arrival), ("Late arterial", portal), ("Portal venous", full),
              (_LATER[agent], later)]  # fmt: skip
    if agent == "gadoxetate":
        starts.append(("Hepatobiliary", max(arrival + _HEPATOBILIARY_FROM_S, later)))
    ends = [start for _, start in starts[1:]] + [last_s]
    phases = tuple(
        Phase(name, float(max(start, first_s)), float(min(end, last_s)))
        for (name, start), end in zip(starts, ends, strict=True)
        if max(start, first_s) < min(end, last_s)
    )
    return PhaseSuggestion(phases, "", agent)


def suggest_from_roles(
    found: Iterable[tuple[str, Quantities]], first_s: float, last_s: float, *, agent: str = "unknown"
) -> PhaseSuggestion:
    """Phases from the first aorta and the first portal vein among (role, quantities) of one series.

    See :func:`suggest_phases`.
    """
    by_role: dict[str, Quantities] = {}
    for role, quantities in found:
        by_role.setdefault(role, quantities)
    return suggest_phases(by_role.get("AO"), by_role.get("PV"), first_s, last_s, agent=agent)


def start_limits(phases: Sequence[Phase], number: int) -> tuple[float, float]:
    """Between which times the start of a phase may lie: the phase before it and the phase itself keep some length.

    Raises
    ------
    InputError
        For the first phase, which begins with the series.
    """
    if not 0 < number < len(phases):
        raise InputError(f"phases: number {number} has no start that could be moved; the first begins with the series.")
    return phases[number - 1].start_s, phases[number].end_s


def with_start(phases: Sequence[Phase], number: int, start_s: float) -> tuple[Phase, ...]:
    """The same phases, one of which begins at another time; the one before it ends there.

    Raises
    ------
    InputError
        If the start does not lie within :func:`start_limits`.
    """
    low, high = start_limits(phases, number)
    phase = phases[number]
    if not low < start_s < high:
        raise InputError(f"{phase.name}: its start must lie between {low:.1f} and {high:.1f} s, not at {start_s:g} s.")
    changed = list(phases)
    changed[number - 1] = replace(phases[number - 1], end_s=float(start_s))
    changed[number] = replace(phase, start_s=float(start_s))
    return tuple(changed)


def phases_to_facts(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """As they stand in a JSON file."""
    return [{"name": phase.name, "start_s": phase.start_s, "end_s": phase.end_s} for phase in phases]


def phases_from_facts(facts: Any) -> tuple[Phase, ...]:
    """What :func:`phases_to_facts` gave; raises InputError, KeyError, TypeError or ValueError if it is not that."""
    phases = tuple(Phase(str(one["name"]), float(one["start_s"]), float(one["end_s"])) for one in facts)
    for before, after in pairwise(phases):
        if before.end_s != after.start_s:
            raise InputError(
                f"phases: {after.name} does not begin where {before.name} ends; remove them to suggest anew."
            )
    return phases
