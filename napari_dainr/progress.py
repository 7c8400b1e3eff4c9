"""A stream of events drawn in a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from napari_dainr.machine import memory_text
from napari_dainr.recipe import Event, Finished, Notice, Progress, Saved

__all__ = ["show"]


def show(events: Iterable[Event], label: str, quiet: bool = False) -> Finished:
    """Pull all events, drawing a bar with loss, speed and time left; returns the last event."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    finished: Finished | None = None
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed:>5.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=console, transient=False, disable=quiet) as bar:
        task = bar.add_task(label, total=1, note="preparing")
        for event in events:
            if isinstance(event, Progress):
                loss = ", ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
                note = f"{loss} · {event.steps_per_s:.1f} it/s · {event.eta_s:.0f} s left"
                bar.update(task, description=event.stage, completed=event.step, total=event.n_steps, note=note)
            elif isinstance(event, Notice):
                console.print(f"  {event.text}", style="dim")
            elif isinstance(event, Saved):
                bar.update(task, description="saved")
            elif isinstance(event, Finished):
                finished = event
                note = f"{event.seconds:.1f} s"
                if event.peak_memory_bytes:
                    note += f", at most {memory_text(event.peak_memory_bytes)} of memory"
                done = event.series.info.get("step", 1)
                bar.update(task, description=label, completed=done, total=done, note=note)
    if finished is None:
        raise RuntimeError("the event stream ended without a result")
    return finished
