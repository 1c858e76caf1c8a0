"""What stable functions are lowered to: functions that appear in kernels only, never in a derivation."""

from __future__ import annotations

import sympy as sp


class _Primitive(sp.Function):
    """A function that appears only in lowered expressions, never in a derivation."""

    nargs = 1


class positive_part(_Primitive):  # noqa: N801
    """max(t, 0)."""


class negative_part(_Primitive):  # noqa: N801
    """min(t, 0)."""


class log1p(_Primitive):  # noqa: N801
    """log(1 + t)."""


class decay(_Primitive):  # noqa: N801
    """exp(-t), cut off before it overflows."""


class reciprocal(_Primitive):  # noqa: N801
    """1 / t."""


class larger(sp.Function):  # noqa: N801
    """max(s, t), a primitive."""

    nargs = 2
