"""The formulas of the model that a certificate states: those of its declaration, which for the zoo's flat models have
to be the ones typed here by hand, with exactly the numbers that the file states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from moe_theory.certificates import normal_form as nf
from moe_theory.certificates import normal_functions as nfs
from moe_theory.certificates.ball_formulas import ONE, ZERO, Formulas
from moe_theory.certificates.flat_form import derived
from moe_theory.certificates.normal_form import Atom, Expression
from moe_theory.errors import InputError
from moe_theory.model import Model


def formulas_of(model: Model, options: Mapping[str, float] | None) -> Formulas:
    """From the declaration. options: of the zoo's model that the certificate speaks of, as it states them; InputError
    unless the declaration is that model's with exactly these numbers, the decimals that they print as."""
    found = derived(model)
    if options is not None and model.name in BY_HAND:
        stated = BY_HAND[model.name](**{name: nf.exact(value) for name, value in options.items()})
        if not _agree(found, stated):
            listed = ", ".join(f"{name} = {value!r}" for name, value in options.items())
            raise InputError(f"model: expected the declaration of {model.name} with exactly {listed or 'no options'}")
    return found


def symmetric_linear(sigma: Fraction = Fraction(1)) -> Formulas:
    """Labels -1, +1: Δs = (2y/σ², 1), s_0 = (-y/σ², 0), A = η_β²/(2σ²) + softplus(η_w)."""
    y, precision = nf.symbol("c y"), 1 / sigma**2
    return Formulas(
        ((nf.number(precision), ZERO), (ZERO, ZERO)),
        ((Fraction(1), (Fraction(0), Fraction(1))),),
        tuple(y.symbols),
        {None: (ZERO, y * (2 * precision), ONE, y * -precision, ZERO, ZERO)},
    )


def symmetric_logistic() -> Formulas:
    """Labels -1, +1, responses -1, +1: Δs = (y, 1), s_0 = ((1-y)/2, 0), A = softplus(η_β) + softplus(η_w)."""
    one, zero = Fraction(1), Fraction(0)
    rows: dict[float | None, tuple[Expression, ...]] = {
        float(y): (ZERO, nf.number(y), ONE, nf.number(Fraction(1 - y, 2)), ZERO, ZERO, ZERO) for y in (-1, 1)
    }
    return Formulas(((ZERO, ZERO),) * 2, ((one, (one, zero)), (one, (zero, one))), _y(), rows)


def erased_labels(erasure: Fraction = Fraction(1, 10), error: Fraction = Fraction(1, 10**250)) -> Formulas:
    """Labels 0, 1, responses 0, 1 and 2 (erased): Δs = 1, s_0 = 0, A = softplus(η_w), offset ∓log of the odds of being
    told right, or 0."""
    odds = nfs.log(nf.number((1 - erasure - error) / error))
    rows: dict[float | None, tuple[Expression, ...]] = {
        value: (odds * sign, ONE, ZERO, ZERO) for value, sign in ((0.0, -1), (1.0, 1), (2.0, 0))
    }
    return Formulas(((ZERO,),), ((Fraction(1), (Fraction(1),)),), _y(), rows)


BY_HAND: dict[str, Callable[..., Formulas]] = {
    "symmetric-linear": symmetric_linear,
    "symmetric-logistic": symmetric_logistic,
    "erased-labels": erased_labels,
}


def _agree(a: Formulas, b: Formulas) -> bool:
    if (a.quadratic, a.gates, a.expressions.keys()) != (b.quadratic, b.gates, b.expressions.keys()):
        return False
    return all(nfs.same(e, f) for y, own in a.expressions.items() for e, f in zip(own, b.expressions[y], strict=True))


def _y() -> tuple[Atom, ...]:
    return tuple(nf.symbol("c y").symbols)
