"""Contrast phases suggested from the arrival of the bolus in aorta and portal vein. A suggestion, not a diagnosis.

Phases are defined by which vessels are filled, not by seconds: early arterial while the aorta is enhanced and the
portal vein is not, late arterial while the portal vein begins to be, portal venous around its peak.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_dainr.analysis.quantities import Quantities
from napari_dainr.errors import InputError

__all__ = ["AGENTS", "Phase", "PhaseSuggestion", "suggest_phases"]

AGENTS: dict[str, str] = {
    "unknown": "agent not stated",
    "extracellular": "extracellular agent",
    "gadoxetate": "gadoxetate (taken up by hepatocytes)",
}
"""Contrast agent → its name in a caption; it decides what the phase after the portal venous one is called."""

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
    """

    name: str
    start_s: float
    end_s: float


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
    arrival, portal, peak = aorta.onset_s, portal_vein.onset_s, portal_vein.maximum_time_s
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
