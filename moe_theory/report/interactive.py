"""Sliders for notebooks: a picture that moves where somebody is there to move it, and a picture everywhere else."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from matplotlib.figure import Figure

from moe_theory.errors import InputError
from moe_theory.report.style import Picture

STATIC = "MOE_THEORY_STATIC"  # set (to anything) where notebooks are executed with nobody there
WIDGET = "application/vnd.jupyter.widget-view+json"


class Slider:
    """A figure as a function of numbers that can be moved; see `slider`."""

    def __init__(self, draw: Callable[..., Figure], ranges: dict[str, tuple[float, float, float]]) -> None:
        self.draw, self.ranges = draw, ranges

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The figure at the defaults as a PNG and, where ipywidgets is installed, a widget, which a live notebook shows
        in its place; a page without a kernel knows the PNG only."""
        picture = self.draw()
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if isinstance(picture, Picture):
            bundle["image/png"] = picture._repr_png_()
        if STATIC not in os.environ and find_spec("ipywidgets") is not None:
            bundle |= _widget(self.draw, self.ranges)
        return bundle

    def __repr__(self) -> str:
        return "<Slider over " + ", ".join(f"{n} in [{a:g}, {b:g}]" for n, (a, b, _) in self.ranges.items()) + ">"


def slider(draw: Callable[..., Figure], **ranges: tuple[float, float, float]) -> Slider:
    """A figure with sliders, name=(least, greatest, step), for arguments of `draw` that have a default.

    Without ipywidgets, and on every page without a kernel, it is the figure at the defaults. Raises InputError for a
    range that is none or does not hold the default, and for a name that `draw` does not take or gives no default.

    >>> slider(lambda step=1.0: Picture(), step=(0.25, 2.0, 0.25))
    <Slider over step in [0.25, 2]>
    """
    if not ranges:
        raise InputError("ranges: expected one name=(least, greatest, step) at least, got none")
    parameters = inspect.signature(draw).parameters
    for name, bounds in ranges.items():
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        if not isinstance(default, int | float):
            raise InputError(f"{name}: expected an argument of the function with a number as default")
        if len(bounds) != 3 or not (bounds[0] <= default <= bounds[1] and bounds[2] > 0):
            raise InputError(f"{name}: expected (least, greatest, step) around the default {default:g}, got {bounds}")
    return Slider(draw, ranges)


def _widget(draw: Callable[..., Figure], ranges: dict[str, tuple[float, float, float]]) -> dict[str, Any]:
    import ipywidgets
    from IPython.display import display

    controls = {}
    for name, (low, high, step) in ranges.items():
        whole = all(isinstance(v, int) for v in (low, high, step))
        control = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        default = inspect.signature(draw).parameters[name].default
        controls[name] = control(default, min=low, max=high, step=step, description=name, continuous_update=False)
    shown = ipywidgets.interactive(lambda **values: display(draw(**values)), **controls)
    return {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": shown.model_id}}
