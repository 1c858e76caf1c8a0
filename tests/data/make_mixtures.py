"""Write mixtures.json: small softmax-gated mixtures of experts worked out with many digits, as an oracle for the tests.

Run `python make_mixtures.py`; it needs mpmath only. Everything comes from two definitions, the gate's probability
(`gate`) and an expert's density (`density`), in plain loops: derivatives are difference quotients taken at 130 digits
(500 for the extreme cases), no derivative formula is used, and nothing of the package is imported.
"""

from __future__ import annotations

import json
import math
import random
import time
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from mpmath import mp, mpf

CHOP = mpf(10) ** -45  # a derivative or rate below this is the noise of its difference quotient, or nothing

KEYS = {
    "name": "the case's name",
    "family": "gaussian, bernoulli, poisson or multinomial",
    "k": "number of experts; label 1, the first, is the gate's reference",
    "classes": "number of classes (multinomial; class 0 is the reference), else null",
    "common_sigma": "gaussian: true for one log sigma, false for one of each expert; else null",
    "extreme": "true where predictors or densities reach sizes at which a kernel may overflow",
    "x": "(n, d_e) expert features, as they stand (a constant is a column of ones)",
    "g": "(n, d_g) gate features, as they stand",
    "y": "(n,) responses; integers except for gaussian",
    "weight": "(n,) frequency weights, or null for ones",
    "offset": "(n,) offset added to every expert's predictor, or null for zeros",
    "theta": "the point: experts (k, d_e), multinomial (k, classes - 1, d_e); log_sigma (k or 1,), else null; gate "
    "(k - 1, d_g)",
    "theta_vector": "theta as a vector (P,): experts label by label (class by class), log sigmas, gate v_2..v_k",
    "results": {
        "loglik": "sum_n w_n log p(y_n|x_n), 40 digits in a string",
        "loglik_rows": "(n,) log p(y_n|x_n), without the weight",
        "gate_probabilities": "(n, k) P(z=i|g_n)",
        "expert_logdensities": "(n, k) log p(y_n|z=i, x_n)",
        "responsibilities": "(n, k) P(z=i|y_n, x_n)",
        "gradient": "(P,) gradient of loglik at theta",
        "observed": "(P, P) minus the Hessian of loglik at theta",
        "complete": "(P, P) minus the Hessian of Q(phi|theta) in phi at phi = theta",
        "rate": "largest eigenvalue of complete^-1 (complete - observed)",
        "rates": "(P,) all its eigenvalues, decreasing",
        "em_step": "theta+ = argmax_phi Q(phi|theta), as theta; null where it was left out",
        "em_step_vector": "(P,) theta+ as a vector, or null",
        "em_loglik": "loglik at theta+, 40 digits in a string, or null",
        "em_q_gain": "Q(theta+|theta) - Q(theta|theta), or null",
        "kl": "sum_n w_n KL(p_theta(y,z|x_n) || p_theta+(y,z|x_n)) / sum_n w_n, 40 digits in a string, or null",
        "kl_rows": "(n,) the rows' KL, without the weight, or null",
    },
}


# ---- the model: its two definitions, on a parameter vector


def layout(case):
    """The coefficients each expert has, the number of log sigmas, and where the gate begins in the vector."""
    per_expert = len(case["x"][0]) * ((case["classes"] - 1) if case["family"] == "multinomial" else 1)
    sigmas = 0 if case["family"] != "gaussian" else 1 if case["common_sigma"] else case["k"]
    return per_expert, sigmas, case["k"] * per_expert + sigmas


def size(case):
    """The length of the parameter vector."""
    return layout(case)[2] + (case["k"] - 1) * len(case["g"][0])


def dot(coefficients, features):
    """The inner product, term by term."""
    total = mpf(0)
    for b, f in zip(coefficients, features, strict=True):
        total += b * f
    return total


def gate(case, theta, n):
    """P(z=i|g_n) for every label i."""
    g, start = case["G"][n], layout(case)[2]
    powers = [mpf(1)]
    for i in range(case["k"] - 1):
        powers.append(mp.exp(dot(theta[start + i * len(g) : start + (i + 1) * len(g)], g)))
    total = mp.fsum(powers)
    return [p / total for p in powers]


def density(case, theta, n, i, y):
    """p(y|z=i, x_n): a density (gaussian) or a probability."""
    x, (width, sigmas, _) = case["X"][n], layout(case)
    b = theta[i * width : (i + 1) * width]
    if case["family"] == "multinomial":
        powers = [mpf(1)]
        for c in range(case["classes"] - 1):
            powers.append(mp.exp(dot(b[c * len(x) : (c + 1) * len(x)], x)))
        return powers[y] / mp.fsum(powers)
    eta = dot(b, x) + case["O"][n]
    if case["family"] == "gaussian":
        sigma = mp.exp(theta[case["k"] * width + (0 if sigmas == 1 else i)])
        return mp.exp(-(((y - eta) / sigma) ** 2) / 2) / (sigma * mp.sqrt(2 * mp.pi))
    if case["family"] == "bernoulli":
        p = 1 / (1 + mp.exp(-eta))
        return p if y == 1 else 1 - p
    mean = mp.exp(eta)
    return mp.exp(-mean) * mean**y / mp.factorial(y)


def log_joint(case, theta, n, i, y):
    """log p(y, z=i|x_n)."""
    return mp.log(gate(case, theta, n)[i] * density(case, theta, n, i, y))


def log_marginal(case, theta, n):
    """log p(y_n|x_n)."""
    probabilities = gate(case, theta, n)
    return mp.log(mp.fsum(probabilities[i] * density(case, theta, n, i, case["Y"][n]) for i in range(case["k"])))


def loglik(case, theta):
    """sum_n w_n log p(y_n|x_n)."""
    total = mpf(0)
    for n, w in enumerate(case["W"]):
        total += w * log_marginal(case, theta, n)
    return total


def responsibilities(case, theta):
    """P(z=i|y_n, x_n), row by row."""
    rows = []
    for n, y in enumerate(case["Y"]):
        probabilities = gate(case, theta, n)
        joint = [probabilities[i] * density(case, theta, n, i, y) for i in range(case["k"])]
        total = mp.fsum(joint)
        rows.append([j / total for j in joint])
    return rows


def q_function(case, r, phi):
    """Q(phi|theta) = sum_n w_n sum_i r_ni log p(y_n, z=i|x_n; phi), with r taken at theta."""
    total = mpf(0)
    for n, y in enumerate(case["Y"]):
        probabilities = gate(case, phi, n)
        for i in range(case["k"]):
            total += case["W"][n] * r[n][i] * mp.log(probabilities[i] * density(case, phi, n, i, y))
    return total


# ---- derivatives by difference quotients; h is 10^-(digits/4.3), so that h^2 and 10^-digits/h^2 are both tiny


def step():
    """The step of the difference quotients, from the digits in use (1e-30 at 130 digits)."""
    return mpf(10) ** -int(mp.dps / mpf("4.3"))


def moved(theta, *moves):
    """A copy of theta with moves (index, amount) added."""
    out = list(theta)
    for j, amount in moves:
        out[j] += amount
    return out


def gradient(f, theta):
    """Central differences."""
    h = step()
    return [(f(moved(theta, (j, h))) - f(moved(theta, (j, -h)))) / (2 * h) for j in range(len(theta))]


def hessian(f, theta):
    """Central second differences."""
    h, size_, out = step(), len(theta), mp.zeros(len(theta))
    for a in range(size_):
        for b in range(a + 1):
            corners = [s * t * f(moved(theta, (a, s * h), (b, t * h))) for s in (1, -1) for t in (1, -1)]
            out[a, b] = out[b, a] = mp.fsum(corners) / (4 * h * h)
    return out


def rough_hessian(f, theta):
    """Forward second differences: a quarter of the work, to about h's relative error; for Newton's steps only."""
    h, size_, out, here = step(), len(theta), mp.zeros(len(theta)), f(theta)
    once = [f(moved(theta, (a, h))) for a in range(size_)]
    for a in range(size_):
        for b in range(a + 1):
            out[a, b] = out[b, a] = (f(moved(theta, (a, h), (b, h))) - once[a] - once[b] + here) / (h * h)
    return out


def complex_gradient(f, theta):
    """The gradient by the complex step: a second route, for the checks."""
    h = mpf(10) ** -int(mp.dps / 2)
    return [mp.im(f(moved(theta, (j, mp.mpc(0, h))))) / h for j in range(len(theta))]


# ---- EM step, rate, KL


def is_positive(matrix):
    """Whether a symmetric matrix has a Cholesky factor."""
    try:
        mp.cholesky(matrix)
    except ValueError:
        return False
    return True


def maximise(f, start, tolerance, limit=80):
    """Newton's method, halving steps until f does not fall and adding to the diagonal where f is not concave."""
    here, value = list(start), f(start)
    for _ in range(limit):
        slope = gradient(f, here)
        if max(abs(s) for s in slope) < tolerance:
            return here
        curvature, ridge = -rough_hessian(f, here), mpf(0)
        while not is_positive(curvature + ridge * mp.eye(len(here))):
            ridge = max(2 * ridge, mpf("0.001"))
        move = mp.lu_solve(curvature + ridge * mp.eye(len(here)), mp.matrix(slope))
        scale = mpf(1)
        while True:
            there = [t + scale * move[j] for j, t in enumerate(here)]
            higher = f(there)
            if higher >= value - mpf(10) ** -(mp.dps - 15):
                break
            scale /= 2
        here, value = there, higher
    raise ArithmeticError("no maximum found")


def rates(complete, observed):
    """Eigenvalues of complete^-1 (complete - observed), decreasing, by the factor of complete."""
    inverse = mp.inverse(mp.cholesky(complete))
    middle = inverse * (complete - observed) * inverse.T
    return sorted(mp.eigsy((middle + middle.T) / 2, eigvals_only=True), reverse=True)


def kl_row(case, theta, plus, n):
    """KL(p_theta(y,z|x_n) || p_plus(y,z|x_n)): a sum over z and over y, or an integral over y."""
    total = mpf(0)
    probabilities = gate(case, theta, n)
    for i in range(case["k"]):

        def term(y, i=i):
            here = probabilities[i] * density(case, theta, n, i, y)
            return here * (mp.log(here) - log_joint(case, plus, n, i, y))

        if case["family"] == "gaussian":
            width, sigmas, _ = layout(case)
            centre = dot(theta[i * width : (i + 1) * width], case["X"][n]) + case["O"][n]
            sigma = mp.exp(theta[case["k"] * width + (0 if sigmas == 1 else i)])
            total += mp.quad(term, [centre + t * sigma for t in (-15, -10, -5, 0, 5, 10, 15)])
        elif case["family"] == "poisson":
            width = layout(case)[0]
            mean = mp.exp(dot(theta[i * width : (i + 1) * width], case["X"][n]) + case["O"][n])
            y, last = 0, mpf(1)
            while y < 2 * mean + 10 or abs(last) > mpf(10) ** -48:  # from there on the terms fall geometrically
                last = term(y)
                total += last
                y += 1
        else:
            total += mp.fsum(term(y) for y in range(case["classes"] or 2))
    return total


# ---- checks, printed


def missing_from_scores(case, theta, r):
    """sum_n w_n Var(score of log p(y_n, z|x_n) | y_n): the missing information by its own definition."""
    size_ = len(theta)
    out = mp.zeros(size_)
    for n, y in enumerate(case["Y"]):
        scores = [gradient(lambda t, i=i, n=n, y=y: log_joint(case, t, n, i, y), theta) for i in range(case["k"])]
        mean = [mp.fsum(r[n][i] * scores[i][a] for i in range(case["k"])) for a in range(size_)]
        for a in range(size_):
            for b in range(size_):
                for i in range(case["k"]):
                    out[a, b] += case["W"][n] * r[n][i] * (scores[i][a] - mean[a]) * (scores[i][b] - mean[b])
    return out


def gaussian_kl_row(case, theta, plus, n):
    """The gaussian row's KL in closed form, for the check of the quadrature."""
    total, (width, sigmas, _) = mpf(0), layout(case)
    for i in range(case["k"]):
        parts = []
        for t in (theta, plus):
            sigma = mp.exp(t[case["k"] * width + (0 if sigmas == 1 else i)])
            parts.append((gate(case, t, n)[i], dot(t[i * width : (i + 1) * width], case["X"][n]), sigma))
        (p, m, s), (p_, m_, s_) = parts
        total += p * (mp.log(p / p_) + mp.log(s_ / s) + (s**2 + (m - m_) ** 2) / (2 * s_**2) - mpf(1) / 2)
    return total


def largest(values):
    """The largest size among values, in a short form."""
    return mp.nstr(max([abs(v) for v in values], default=mpf(0)), 2)


# ---- the cases


def make_case(name, family, seed, n, k, d_e, d_g, **how):
    """Draw a case: features, a point, responses from a nearby point; every number has few decimals."""
    rng = random.Random(seed)
    draw = lambda scale, digits=2: round(rng.gauss(0, scale), digits)
    classes = how.get("classes")
    first = [] if how.get("no_constant") else [1.0]
    x = how.get("x") or [first + [draw(1) for _ in range(d_e - len(first))] for _ in range(n)]
    g = how.get("g") or (
        [list(row) for row in x] if how.get("same_gate") else [[1.0] + [draw(1) for _ in range(d_g - 1)] for _ in x]
    )
    weight = [rng.choice([0.5, 1.0, 1.5, 2.0, 3.0, 0.25]) for _ in range(n)] if how.get("weighted") else None
    offset = [draw(0.5) for _ in range(n)] if how.get("with_offset") else None
    rows = k * (classes - 1) if family == "multinomial" else k
    experts = how.get("experts") or [[draw(0.9) for _ in range(d_e)] for _ in range(rows)]
    log_sigma = how.get("log_sigma")
    v = how.get("gate") or [[draw(0.7) for _ in range(d_g)] for _ in range(k - 1)]
    case = {
        "name": name,
        "family": family,
        "k": k,
        "classes": classes,
        "common_sigma": (len(log_sigma) == 1 and how.get("common", False)) if family == "gaussian" else None,
        "extreme": how.get("extreme", False),
        "x": x,
        "g": g,
        "y": [0] * n,
        "weight": weight,
        "offset": offset,
    }
    vector = [b for row in experts for b in row] + list(log_sigma or []) + [a for row in v for a in row]
    case["theta"] = shaped(case, vector)
    case["theta_vector"] = vector
    ready(case)
    # responses: drawn from the model at a point near theta, so that theta is neither the truth nor far from it
    truth = [t + rng.gauss(0, how.get("jitter", 0.2)) for t in vector]
    if not how.get("y"):
        for j in range(n):
            case["y"][j] = draw_response(case, truth, j, rng)
    else:
        case["y"] = how["y"]
    ready(case)
    if family == "gaussian":
        # far from a maximum the complete information in (b, log sigma) need not be positive: come nearer by EM steps
        mp.dps = 40
        for _ in range(2):
            theta = [mpf(t) for t in case["theta_vector"]]
            r = responsibilities(case, theta)
            plus = maximise(lambda t, r=r: q_function(case, r, t), theta, mpf(10) ** -10)
            case["theta_vector"] = [float(t) for t in plus]
        case["theta_vector"] = [round(t + rng.gauss(0, how.get("near", 0.04)), 3) for t in case["theta_vector"]]
        case["theta"] = shaped(case, case["theta_vector"])
    return case


def draw_response(case, truth, n, rng):
    """One response: a label by the gate, then a response of its expert."""
    mp.dps = 20
    i = rng.choices(range(case["k"]), [float(p) for p in gate(case, truth, n)])[0]
    if case["family"] == "gaussian":
        width, sigmas, _ = layout(case)
        sigma = math.exp(truth[case["k"] * width + (0 if sigmas == 1 else i)])
        centre = float(dot(truth[i * width : (i + 1) * width], case["X"][n]) + case["O"][n])
        return round(centre + sigma * rng.gauss(0, 1), 3)
    u, y, top = mpf(rng.random()), 0, {"bernoulli": 1, "poisson": 99}.get(case["family"]) or case["classes"] - 1
    while u > density(case, truth, n, i, y) and y < top:
        u -= density(case, truth, n, i, y)
        y += 1
    return y


def ready(case):
    """Set the exact binary values of the data as mpmath numbers, under capital keys."""
    n = len(case["x"])
    case["X"] = [[mpf(v) for v in row] for row in case["x"]]
    case["G"] = [[mpf(v) for v in row] for row in case["g"]]
    case["Y"] = [mpf(v) if case["family"] == "gaussian" else v for v in case["y"]]
    case["W"] = [mpf(v) for v in case["weight"] or [1.0] * n]
    case["O"] = [mpf(v) for v in case["offset"] or [0.0] * n]


def shaped(case, vector):
    """A parameter vector as the dict experts, log_sigma, gate."""
    width, sigmas, start = layout(case)
    d_e, d_g = len(case["x"][0]), len(case["g"][0])
    v = [float(t) for t in vector]
    experts = [v[i * width : (i + 1) * width] for i in range(case["k"])]
    if case["family"] == "multinomial":
        experts = [[row[c * d_e : (c + 1) * d_e] for c in range(case["classes"] - 1)] for row in experts]
    return {
        "experts": experts,
        "log_sigma": v[start - sigmas : start] if sigmas else None,
        "gate": [v[start + i * d_g : start + (i + 1) * d_g] for i in range(case["k"] - 1)],
    }


def cases():
    """The makers of all cases, in order."""
    case = lambda *a, **how: partial(make_case, *a, **how)
    log = lambda *s: [round(math.log(v), 3) for v in s]
    line = [-1.6, -1.1, -0.7, -0.2, 0.1, 0.4, 0.9, 1.3, 1.8, 2.1]
    far = [100.0, -100.0, 60.0, 0.3, -0.5, 1.2, -1.1, 0.2, -80.0, 0.7, -0.4, 0.9]
    return [
        case("gaussian-one-expert", "gaussian", 1, 7, 1, 2, 1, log_sigma=log(0.8), weighted=True),
        case("gaussian-two-experts", "gaussian", 2, 10, 2, 2, 2, log_sigma=log(0.6, 1.1), same_gate=True),
        case(
            "gaussian-common-weights-offset-gate",
            "gaussian",
            3,
            10,
            2,
            2,
            3,
            log_sigma=log(0.7),
            common=True,
            weighted=True,
            with_offset=True,
        ),
        case(
            "gaussian-three-experts-weights",
            "gaussian",
            4,
            14,
            3,
            3,
            2,
            log_sigma=log(0.5, 0.9, 1.4),
            near=0.01,
            weighted=True,
        ),
        case("gaussian-four-experts-common", "gaussian", 5, 12, 4, 2, 1, log_sigma=log(0.9), common=True),
        case(
            "gaussian-small-sigma",
            "gaussian",
            6,
            10,
            2,
            2,
            2,
            log_sigma=log(0.01, 0.3),
            jitter=0.004,
            near=0.002,
            x=[[1.0, t] for t in line],
            same_gate=True,
            experts=[[0.5, 1.2], [0.4, -0.8]],
            gate=[[0.1, 0.3]],
        ),
        case(
            "bernoulli-one-expert-offset",
            "bernoulli",
            7,
            8,
            1,
            2,
            1,
            weighted=True,
            with_offset=True,
            y=[0, 1, 0, 1, 1, 0, 1, 0],
        ),
        case("bernoulli-two-experts", "bernoulli", 8, 10, 2, 2, 2, same_gate=True),
        case(
            "bernoulli-three-experts-weights-offset-gate", "bernoulli", 9, 12, 3, 2, 3, weighted=True, with_offset=True
        ),
        case(
            "bernoulli-extreme",
            "bernoulli",
            10,
            12,
            2,
            2,
            2,
            extreme=True,
            x=[[1.0, t] for t in far],
            same_gate=True,
            experts=[[0.4, 3.0], [-0.6, -2.9]],
            gate=[[0.2, 2.7]],
            y=[1, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1],
        ),
        case("poisson-one-expert-offset", "poisson", 11, 6, 1, 3, 1, with_offset=True),
        case(
            "poisson-two-experts-weights-offset",
            "poisson",
            12,
            10,
            2,
            2,
            2,
            weighted=True,
            with_offset=True,
            experts=[[1.1, 0.5], [0.2, -0.6]],
        ),
        case("poisson-three-experts-no-constant", "poisson", 13, 12, 3, 2, 2, no_constant=True),
        case("poisson-four-experts-constant-gate", "poisson", 14, 10, 4, 2, 1, weighted=True),
        case("multinomial-one-expert", "multinomial", 15, 12, 1, 2, 1, classes=3, weighted=True),
        case("multinomial-two-experts-weights-gate", "multinomial", 16, 12, 2, 2, 3, classes=3, weighted=True),
        case(
            "multinomial-three-experts",
            "multinomial",
            17,
            12,
            3,
            2,
            2,
            classes=3,
            same_gate=True,
            y=[0, 1, 2, 1, 0, 2, 2, 0, 1, 1, 2, 0],
        ),
        case(
            "multinomial-extreme",
            "multinomial",
            18,
            12,
            2,
            2,
            2,
            classes=3,
            extreme=True,
            x=[[1.0, t] for t in far],
            g=[[1.0, -t] for t in far],
            experts=[[0.3, 3.0], [-0.2, -1.0], [0.5, -2.0], [0.1, 2.8]],
            gate=[[0.3, 2.5]],
            y=[1, 0, 2, 0, 2, 1, 1, 2, 2, 0, 0, 1],
        ),
    ]


# ---- the work


def number(value, chop=False):
    """The nearest double; with chop, a value below the noise is 0."""
    return 0.0 if chop and abs(value) < CHOP else float(value)


def table(matrix, chop=False):
    """A matrix or a list of rows as nested lists of doubles."""
    rows = matrix.tolist() if isinstance(matrix, mp.matrix) else matrix
    return [[number(v, chop) for v in row] for row in rows]


def em_start(case, theta):
    """Where Newton's method begins: theta, or zeros in the extreme (concave) cases."""
    return [mpf(0)] * len(theta) if case["extreme"] else theta


def solve(case):
    """All results of a case, and a line of checks."""
    mp.dps = 500 if case["extreme"] else 130
    ready(case)
    theta = [mpf(t) for t in case["theta_vector"]]
    if len(theta) != size(case):
        raise ValueError(case["name"])
    rows, k = range(len(case["x"])), range(case["k"])
    r = responsibilities(case, theta)
    f = lambda t: loglik(case, t)
    q = lambda t: q_function(case, r, t)
    score, observed, complete = gradient(f, theta), -hessian(f, theta), -hessian(q, theta)
    missing = missing_from_scores(case, theta, r)
    checks = {
        "observed - (complete - Var)": largest(observed - complete + missing),
        "gradient - complex step": largest(a - b for a, b in zip(score, complex_gradient(f, theta), strict=True)),
        "gradient - gradient of Q": largest(a - b for a, b in zip(score, gradient(q, theta), strict=True)),
    }
    eigenvalues = rates(complete, observed)
    results = {
        "loglik": mp.nstr(f(theta), 40),
        "loglik_rows": [float(log_marginal(case, theta, n)) for n in rows],
        "gate_probabilities": table([gate(case, theta, n) for n in rows]),
        "expert_logdensities": table([[mp.log(density(case, theta, n, i, case["Y"][n])) for i in k] for n in rows]),
        "responsibilities": table(r),
        "gradient": [number(s, True) for s in score],
        "observed": table(observed, True),
        "complete": table(complete, True),
        "rate": number(eigenvalues[0], True),
        "rates": [number(e, True) for e in eigenvalues],
    }
    plus = maximise(q, em_start(case, theta), mpf(10) ** -40)
    checks["gradient of Q at theta+"] = largest(gradient(q, plus))
    kl_digits = mp.dps if case["extreme"] else 50
    mp.dps, before = kl_digits, mp.dps
    kl_rows = [kl_row(case, theta, plus, n) for n in rows]
    if case["family"] == "gaussian":
        checks["KL - closed form"] = largest(kl_rows[n] - gaussian_kl_row(case, theta, plus, n) for n in rows)
    kl = mp.fsum(w * v for w, v in zip(case["W"], kl_rows, strict=True)) / mp.fsum(case["W"])
    mp.dps = before
    gain = q(plus) - q(theta)
    rise = f(plus) - f(theta)
    if not (rise >= gain >= 0 and kl >= 0):
        raise ArithmeticError(case["name"])
    checks["rise, gain of Q, KL, rate"] = " ".join(mp.nstr(v, 5) for v in (rise, gain, kl, eigenvalues[0]))
    results |= {
        "em_step": shaped(case, plus),
        "em_step_vector": [float(t) for t in plus],
        "em_loglik": mp.nstr(f(plus), 40),
        "em_q_gain": float(gain),
        "kl": mp.nstr(kl, 40),
        "kl_rows": [float(v) for v in kl_rows],
    }
    return results, checks


def write(path, solved):
    """One key a line, so that a change shows in a diff."""
    text = ['{\n"keys": ' + json.dumps(KEYS, indent=1) + ',\n"cases": [']
    blocks = []
    for case in solved:
        lines = [f" {json.dumps(key)}: {json.dumps(case[key])}" for key in KEYS if key != "results"]
        inner = [f"  {json.dumps(key)}: {json.dumps(case['results'][key])}" for key in KEYS["results"]]
        blocks.append("{\n" + ",\n".join([*lines, ' "results": {\n' + ",\n".join(inner) + "\n }"]) + "\n}")
    text.append(",\n".join(blocks) + "\n]\n}\n")
    path.write_text("\n".join(text), encoding="utf-8")


def work(index):
    """Make and solve one case."""
    began = time.perf_counter()
    case = cases()[index]()
    case["results"], checks = solve(case)
    lines = [f"{case['name']}: {time.perf_counter() - began:.0f} s, y = {case['y']}"]
    print("\n    ".join(lines + [f"{what}: {value}" for what, value in checks.items()]), flush=True)
    return {key: case[key] for key in KEYS}


def main():
    """Work out every case, print the checks, write the file."""
    with Pool(2) as pool:
        solved = pool.map(work, range(len(cases())), chunksize=1)
    write(Path(__file__).with_name("mixtures.json"), solved)


if __name__ == "__main__":
    main()
