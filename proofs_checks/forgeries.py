"""Forged certificates: a number is changed, every number that follows from others is made to fit, the seal renewed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from moe_theory.certificates.basin import basin, box
from moe_theory.certificates.certificate import Certificate, seal
from moe_theory.claims import Case
from moe_theory.errors import InputError

Document = dict[str, Any]
Change = Callable[[Document, Certificate, Case], None]


def forged(change: Change) -> Callable[[Document, Certificate, Case], Document]:
    """A certificate's file with a change that makes it false; all that follows is made to fit, and it is sealed."""

    def made(document: Document, certificate: Certificate, case: Case) -> Document:
        new = copy.deepcopy(document)
        change(new, certificate, case)
        return consistent(new, certificate)

    return made


def consistent(new: Document, certificate: Certificate) -> Document:
    """With e, b, r0 and the box that follow from what the file says now, as the maker would have them."""
    curvature, stationary, region = new["curvature"], new["stationary"], certificate.region
    alpha, r, upper = new["bound"]["alpha"], new["region"]["radius"], curvature["upper"]
    settled = basin(r, alpha, stationary["gradient"], curvature["lower"], lambda _: upper)
    if settled is None:
        raise InputError("forgery: expected a distance of the stationary point that is less than the radius")
    sides = zip(("lower", "upper"), box(region.centre, region.matrix, settled.distance), strict=True)
    named = lambda theta: {name: row.tolist() for name, row in zip(new["centre"], theta, strict=True)}
    new["bound"]["lambda_upper"] = 1 - alpha
    curvature |= {"upper": settled.upper, "within": settled.within}
    stationary |= {"distance": settled.distance} | {side: named(theta) for side, theta in sides}
    new["basin"] = {"radius": settled.radius, "divergence": settled.divergence}
    return {**new, "seal": seal(new)}


def altered(document: Document, section: str, key: str, value: Any) -> Document:
    """One entry changed and the seal renewed, nothing made to fit."""
    new = copy.deepcopy(document)
    new[section][key] = value
    return {**new, "seal": seal(new)}
