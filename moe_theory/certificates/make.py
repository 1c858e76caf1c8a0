"""Making certificates: a proof that EM converges linearly on a data set, how fast, from where; or why there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from moe_theory.algorithms.fit import fit
from moe_theory.certificates.adversary import Found
from moe_theory.certificates.bounds import Method
from moe_theory.certificates.certificate import Certificate, Source
from moe_theory.certificates.maker import METHODS, Maker
from moe_theory.certificates.noise import noise_at
from moe_theory.certificates.region import Region, Shape
from moe_theory.certificates.rows import Statistics, certifiable
from moe_theory.errors import InputError, UnprovableError
from moe_theory.laws import Data, Law, Population
from moe_theory.laws.table import Finite
from moe_theory.model import Model
from moe_theory.validation import Array, positive_number, unit_interval, whole_number


def certify(
    model: Model,
    data: Law,
    centre: ArrayLike | None = None,
    radius: float | Literal["largest"] = "largest",
    alpha: float | None = None,
    *,
    shape: Shape = "ellipsoid",
    method: Method | Literal["sharpest"] = "sharpest",
    cuts: int = 0,
    restarts: int = 8,
    seed: int = 0,
    response: str | None = None,
    intercept: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Certificate:
    """Prove that EM for a flat two-label `model` converges linearly on `data`, from every start around `centre`.

    data: a table; a `Population` (one or two features) gives a certificate that is `supported` only. centre: (m, d), by
    default the best of `restarts` EM runs. radius: of {c + Gz : ‖z‖ <= radius}, G'_aH_aG_a = I for the diagonal blocks
    H_a of ∇²A(c), which does not depend on the features' units; with shape="euclidean" of the ball ‖θ-c‖ <= radius.
    alpha: the strong convexity to be proved. Given one, the other is made as large as can be proved;
    given neither, alpha is half of what holds at the centre. method: "worst-case", "taylor", or the better of the two.
    cuts: coordinates along which the region is cut in PIECES (those that help most are chosen). seed: of the starts and
    of the search for a large λ_max. response, intercept: what the file says of the columns (see `Source`).

    What cannot be proved is a `Certificate` with its reason. Raises InputError for bad arguments and for models that
    are not flat with two labels (`two_labels`). All bounds hold in real arithmetic: rounding is accounted for, given
    what `rounding` says of the machine; `check` proves them again in ball arithmetic.

    Proved form: arXiv 2411.06056, Theorem 4.2 (3), as B_A(θ̂‖θ_{T+1}) <= (1-α)^T B_A(θ̂‖θ_1); see `basin`.

    >>> import numpy as np
    >>> from moe_theory.laws import Data
    >>> from moe_theory.zoo import symmetric_linear
    >>> x = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    >>> y = np.where(np.arange(40) % 2, 4.0, -4.0) * (1 + 0.1 * x[:, 1])
    >>> found = certify(symmetric_linear(), Data(x, y), radius=0.1)
    >>> found.certified, found.found.value <= found.lambda_upper <= 0.1
    (True, True)
    """
    options: dict[str, Any] = {
        "radius": radius if radius == "largest" else positive_number("radius", radius),
        "alpha": None if alpha is None else unit_interval("alpha", alpha),
        "shape": shape,
        "method": method,
        "cuts": whole_number("cuts", cuts),
        "seed": whole_number("seed", seed),
        "progress": progress or (lambda _: None),
    }
    if shape not in ("euclidean", "ellipsoid"):
        raise InputError(f"shape: expected euclidean or ellipsoid, got {shape!r}")
    if method not in (*METHODS, "sharpest"):
        raise InputError(f"method: expected {', '.join(METHODS)} or sharpest, got {method!r}")
    if isinstance(data, Population):
        from moe_theory.certificates.supported import certify_population

        return certify_population(model, data, centre, **options)
    if not isinstance(data, Finite):
        raise InputError(f"data: expected a table (Data or Finite) or a Population, got {type(data).__name__}")
    certifiable(model)  # a model that cannot be certified is refused before it is fitted
    trouble = ""
    if centre is None:
        options["progress"]("EM from random starts")
        best = fit(model, data, restarts, seed).best
        theta = best.last
        if best.reason != "converged":
            trouble = f"no stationary point to put the centre at: EM ended {best.reason} {best.message}".rstrip()
    else:
        theta = model.check_theta("centre", centre, data.dimension)
    return certify_rows(model, data, theta, **options, trouble=trouble, response=response, intercept=intercept)


@threadpool_limits.wrap(limits=1, user_api="blas")
def certify_rows(
    model: Model,
    data: Finite,
    theta: Array,
    *,
    radius: float | Literal["largest"],
    alpha: float | None,
    shape: Shape,
    method: Method | Literal["sharpest"],
    cuts: int,
    seed: int,
    progress: Callable[[str], None],
    trouble: str = "",
    response: str | None = None,
    intercept: bool = False,
    statistics: Statistics | None = None,
) -> Certificate:
    """`certify` around θ, its arguments checked. trouble: why that is no centre. statistics: the rows', where they are
    known already."""
    clock = time.perf_counter()
    progress("rows")
    methods = METHODS if method == "sharpest" else (method,)
    maker = Maker(statistics or Statistics(model, data), theta, shape, methods, cuts, seed, progress)
    names = data.names if isinstance(data, Data) else None
    known: dict[str, Any] = {
        "model": model,
        "source": Source(len(data), names, response, intercept, data.digest),
        "region": Region(theta, None, 0.0),
        "alpha": math.nan if alpha is None else alpha,
        "lambda_upper": math.inf,
        "lambda_centre": math.nan,
        "found": Found(math.nan, theta),
        "method": methods[-1],
        "noise": noise_at(model, data, theta),
    }
    try:
        if trouble:
            raise UnprovableError(trouble)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite proves nothing
            for more in maker.steps(radius, alpha):
                known |= more
        reason = ""
    except UnprovableError as error:
        reason = str(error)
    return Certificate(certified=not reason, reason=reason, seconds=time.perf_counter() - clock, **known)
