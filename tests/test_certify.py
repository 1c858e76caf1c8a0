"""Certificates: bars, reasons, what follows from them on runs of EM, files, the command."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from models import balanced, gate_only, gate_three, noisy_labels, offset

import moe_theory as mt
from moe_theory.certificates.adversary import adversary
from moe_theory.certificates.certificate import seal
from moe_theory.certificates.curve import radius_curve
from moe_theory.certificates.maker import RADIUS
from moe_theory.certificates.noise import Noise
from moe_theory.certificates.region import Region
from moe_theory.certificates.relative import Prover
from moe_theory.certificates.rounding import at_least, at_most
from moe_theory.certificates.rows import Statistics
from moe_theory.cli.main import main
from moe_theory.datasets import old_faithful
from moe_theory.operators import bregman
from moe_theory.report.certificate import certificate_figure, certificate_page
from moe_theory.symbolic.two_labels import two_labels

LINEAR, LOGISTIC = mt.symmetric_linear(), mt.symmetric_logistic()


def fitted(model: mt.Model, truth: np.ndarray, n: int, seed: int = 0) -> tuple[mt.Data, np.ndarray]:
    """A sample, and the maximum of the likelihood near the truth."""
    data = mt.MonteCarlo(model, truth, n, seed).data()
    return data, mt.run(mt.EM(model), data, truth, tolerance=1e-13, divergences=False).last


@pytest.fixture(scope="module")
def bar() -> tuple[mt.Data, np.ndarray]:
    """SymMoLinE, n = 5000, d = 10, SNR 3, ‖w*‖ = 1."""
    truth = np.zeros((2, 10))
    truth[0, 0], truth[1, 1] = 3, 1
    return fitted(LINEAR, truth, 5000)


@pytest.fixture(scope="module")
def small() -> tuple[mt.Data, np.ndarray]:
    return fitted(LINEAR, LINEAR.theta(beta=[3, 0, 0], w=[0, 1, 0]), 800)


class TestBars:
    def test_the_first_bound_and_the_sharpest(self, bar):
        data, centre = bar
        found = mt.certify(LINEAR, data, centre, radius=0.1, shape="euclidean")
        assert found.certified
        assert found.bounds["worst-case"] <= 0.52
        assert found.lambda_upper <= 1.25 * found.found.value
        assert found.found.value <= found.lambda_upper == 1 - found.alpha

    def test_fifty_features(self):
        truth = np.zeros((2, 50))
        truth[0, 0], truth[1, 1] = 3, 1
        data, centre = fitted(LINEAR, truth, 3000)
        found = mt.certify(LINEAR, data, centre, radius=0.05)
        assert found.certified and found.basin_radius > 0


class TestSearch:
    @pytest.mark.parametrize("shape", ["euclidean", "ellipsoid"])
    def test_the_largest_radius(self, small, shape):
        data, centre = small
        found = mt.certify(LINEAR, data, centre, alpha=0.5, shape=shape)
        assert found.certified and found.alpha == 0.5 and found.lambda_upper == 0.5
        beyond = mt.certify(LINEAR, data, centre, radius=found.radius * (1 + 3 * RADIUS), alpha=0.5, shape=shape)
        assert not beyond.certified and "a smaller radius can be proved" in beyond.reason

    def test_the_largest_alpha(self, small):
        data, centre = small
        found = mt.certify(LINEAR, data, centre, radius=0.1)
        assert not mt.certify(LINEAR, data, centre, radius=0.1, alpha=found.alpha + 1e-3).certified
        assert mt.certify(LINEAR, data, centre, radius=0.1, alpha=found.alpha - 1e-3).certified

    def test_alpha_by_default_is_half_of_the_centres(self, small):
        data, centre = small
        found = mt.certify(LINEAR, data, centre)
        assert found.alpha == pytest.approx((1 - found.lambda_centre) / 2, rel=1e-9)

    def test_it_fits_if_there_is_no_centre(self, small):
        data, centre = small
        found = mt.certify(LINEAR, data, restarts=3)
        assert found.certified
        assert min(np.linalg.norm(found.region.centre - sign * centre) for sign in (1, -1)) < 1e-6

    def test_many_rows_are_scouted_first(self):
        data, centre = fitted(LINEAR, LINEAR.theta(beta=[3, 0], w=[0, 1]), 90_000)
        found = mt.certify(LINEAR, data, centre)
        assert found.certified and 0.2 < found.radius < 0.5

    def test_units_do_not_matter_to_an_ellipsoid(self, small):
        data, centre = small
        units = np.array([1e3, 1e-2, 7.0])
        one = mt.certify(LINEAR, data, centre, shape="ellipsoid")
        other = mt.certify(LINEAR, mt.Data(data.x * units, data.y), centre / units, shape="ellipsoid")
        assert other.radius == pytest.approx(one.radius, rel=1e-9)
        assert other.basin_radius == pytest.approx(one.basin_radius, rel=1e-6)

    def test_cuts_help_where_there_are_few_directions(self):
        data, centre = fitted(LINEAR, LINEAR.theta(beta=[3], w=[0.5]), 400)
        plain, cut = (mt.certify(LINEAR, data, centre, radius=0.5, cuts=c) for c in (0, 2))
        assert cut.lambda_upper < plain.lambda_upper
        assert cut.found.value <= cut.lambda_upper and cut.cuts
        assert list(cut.bounds)[:2] == ["worst-case", "taylor"] and len(cut.bounds) == 4

    def test_cells_prove_no_less_than_the_whole(self, small):
        data, centre = small
        statistics, region = Statistics(LINEAR, data), Region(centre, None, 0.2)
        whole = Prover.of(statistics, region, "worst-case").least()
        for cut in ({(0, 0): 3}, {(1, 1): 4}, {(0, 1): 2, (1, 2): 3}):
            assert Prover.of(statistics, region, "worst-case", cut).least() <= whole * (1 + 1e-3)


class TestModels:
    def test_erased_labels_are_known_exactly(self):
        """On the model's own responses M is `erasure` I wherever: the bound tends to it, and is never below."""
        model = mt.erased_labels(0.2)
        centre = model.theta(w=[0.5, 1.0])
        data = mt.Finite.from_model(model, centre, np.random.default_rng(0).standard_normal((40, 2)))
        bounds = []
        for radius in (1e-4, 0.1, 0.5):
            found = mt.certify(model, data, centre, radius=radius, shape="euclidean")
            assert found.certified and found.found.value == pytest.approx(0.2, abs=1e-10)
            bounds.append(found.lambda_upper)
        assert 0.2 < bounds[0] < 0.2001 and bounds == sorted(bounds)

    @pytest.mark.parametrize("model", [balanced(), noisy_labels(), offset(), gate_only()], ids=lambda m: m.name)
    def test_declared_ones(self, model):
        truth = np.array([[1.5, -0.5, 0.8], [0.4, 1.0, -0.3]])[: len(model.predictors)]
        data, centre = fitted(model, truth, 600)
        found = mt.certify(model, data, centre, radius=0.02)
        assert found.certified, found.reason
        assert found.found.value <= found.lambda_upper <= 1.05 * found.found.value

    def test_weights_count_as_rows(self, small):
        data, centre = small
        twice = np.where(np.arange(len(data)) % 3, 1, 2)
        once = mt.certify(LINEAR, mt.Data(data.x, data.y, twice), centre, radius=0.05)
        repeated = mt.Data(np.repeat(data.x, twice, axis=0), np.repeat(data.y, twice))
        assert once.bounds["taylor"] == pytest.approx(
            mt.certify(LINEAR, repeated, centre, radius=0.05).bounds["taylor"], rel=1e-3
        )

    def test_the_shape_of_a_model_is_derived(self):
        shape = two_labels(mt.symmetric_linear(3))
        assert [str(e) for e in shape.change] == ["2*y/9", "1"] and shape.quadratic[0, 0] == mt.derive(
            mt.symmetric_linear(3)
        ).complete_information[0, 0]

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (gate_three(), "two labels"),
            (mt.linear_experts(), "curved"),
            (mt.softmax_moe(2, "poisson"), "curved"),
            (LINEAR.designed(("a", "b"), sees={"w": ("a",)}), "design"),
        ],
        ids=["three labels", "curved", "poisson", "design"],
    )  # fmt: skip
    def test_what_cannot_be_certified_is_refused(self, small, model, message):
        data = mt.Data(small[0].x[:, :2], np.abs(np.round(small[0].y)))
        with pytest.raises(mt.MoeTheoryError, match=message):
            mt.certify(model, data, radius=0.1)


class TestNoise:
    """σ as declared beside the residuals'."""

    @pytest.mark.parametrize("sigma", [1.0, 5.0])
    def test_the_residuals_are_weighed_by_the_posterior(self, small, sigma):
        data, centre = small
        model = mt.symmetric_linear(sigma)
        found = mt.certify(model, data, centre, radius=1e-3)
        assert found.noise is not None and found.noise.sigma == sigma
        square = mpmath.mpf(0)
        for x, y in zip(data.x, data.y, strict=True):
            beta, w = (sum(mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(row, x, strict=True)) for row in centre)
            joint = [mpmath.exp(z * w / 2 - (y - z * beta) ** 2 / (2 * mpmath.mpf(sigma) ** 2)) for z in (-1, 1)]
            square += sum(p * (y - z * beta) ** 2 for p, z in zip(joint, (-1, 1), strict=True)) / sum(joint)
        assert found.noise.residual_sd == pytest.approx(float(mpmath.sqrt(square / len(data))), rel=1e-12)
        said = found.to_dict()
        assert (said["sigma"], said["residual_sd"]) == (sigma, found.noise.residual_sd)
        assert found.noise.disagrees is ("σ = 5 is declared, but" in str(found)) is (sigma == 5)

    def test_known_experts_have_one_too(self):
        model = gate_only()
        data, centre = fitted(model, model.theta(w=[0.4, 1.0, -0.3]), 400)
        noise = mt.certify(model, data, centre, radius=1e-3).noise
        assert noise is not None and noise.sigma == 0.5 and noise.residual_sd == pytest.approx(0.5, abs=0.06)

    def test_none_where_there_is_no_sigma(self, small):
        data = mt.Data(small[0].x, np.sign(small[0].y))
        found = mt.certify(LOGISTIC, data, np.zeros((2, 3)), radius=1e-3)
        assert found.noise is None and found.to_dict()["sigma"] is found.to_dict()["residual_sd"] is None

    def test_few_rows_leave_more_open(self):
        assert Noise(1.0, 1.3, 1000).disagrees and not Noise(1.0, 1.3, 20).disagrees
        assert Noise(1.0, 1 / 1.3, 1000).disagrees and not Noise(1.0, 1.2, 10**6).disagrees
        assert Noise(1.0, 0.0, 20).disagrees and Noise(1.0, 9.0, 20).disagrees


class TestReasons:
    @pytest.mark.parametrize("scale", [1e-60, 1e60])
    def test_features_of_any_size_have_the_same_ellipsoid(self, small, scale):
        (data, centre), same = small, mt.certify(LINEAR, *small, radius=0.1, shape="ellipsoid")
        found = mt.certify(LINEAR, mt.Finite(scale * data.x, data.y), centre / scale, radius=0.1, shape="ellipsoid")
        assert found.certified and found.alpha == pytest.approx(same.alpha, rel=1e-6)

    @pytest.mark.parametrize("scale", [1e60, 1e140])
    def test_responses_that_overflow_are_a_reason_and_no_warning(self, small, scale):
        reason = self.reason(mt.Finite(small[0].x, scale * small[0].y), small[1], radius=0.1)
        assert any(text in reason for text in ("rounding", "∇²A", "at the centre itself", "stationary point"))

    def reason(self, data, centre, **options) -> str:
        found = mt.certify(LINEAR, data, centre, **options)
        assert not found.certified and found.to_dict()["certified"] is False
        with pytest.raises(mt.InputError, match="expected one that was proved"):
            _ = found.document
        return found.reason

    def test_centre(self, small):
        data, centre = small
        assert "at the centre itself, which is not below 1" in self.reason(data, centre * 0.01, radius=0.1)
        assert "at the centre itself, which is not below 1 - α" in self.reason(data, centre, radius=0.1, alpha=0.9)

    def test_adversary(self, small):
        data, centre = small
        assert "at a point of the region" in self.reason(data, centre, radius=4.0)

    def test_no_stationary_point_near(self, small):
        data, centre = small
        assert "a stationary point is proved within" in self.reason(data, centre + 0.01, radius=0.05, shape="euclidean")

    def test_no_convergence(self):
        """Labels that the features separate: the gate has no finite maximum."""
        x = np.column_stack([np.ones(30), np.linspace(-1, 1, 30)])
        y = np.sign(x[:, 1] + 1e-9)
        found = mt.certify(LOGISTIC, mt.Data(x, y), restarts=2)
        assert not found.certified and found.reason

    def test_rounding(self, small):
        """Features so far from 0 that x'θ is all cancellation."""
        data = mt.Data(small[0].x[:, :2] + 1e3, small[0].y)
        found = mt.certify(balanced(), data, np.array([[3e7, -3e7]]), radius=1e-9)
        assert not found.certified
        assert found.reason.startswith("rounding: products of features and parameters are known to")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"radius": -1}, "radius: expected a number > 0"),
            ({"radius": math.nan}, "radius: expected finite"),
            ({"alpha": 1}, "alpha: expected a number in the open interval"),
            ({"shape": "cube"}, "shape: expected euclidean or ellipsoid"),
            ({"method": "best"}, "method: expected worst-case, taylor or sharpest"),
            ({"cuts": -1}, "cuts: expected a whole number >= 0"),
            ({"centre": np.zeros((2, 2))}, r"centre: expected shape \(2, 3\)"),
        ],
        ids=lambda v: str(v)[:20],
    )
    def test_bad_arguments(self, small, options, message):
        with pytest.raises(mt.InputError, match=message):
            mt.certify(LINEAR, small[0], **options)

    def test_bad_data(self):
        with pytest.raises(mt.InputError, match="data: expected a table"):
            mt.certify(LINEAR, np.zeros((3, 3)))
        with pytest.raises(mt.InputError, match="one or two features, got 3"):
            mt.certify(LINEAR, mt.Population(LINEAR, np.ones((2, 3))))


class TestBasin:
    @pytest.mark.parametrize("model", [LINEAR, LOGISTIC], ids=lambda m: m.name)
    def test_em_from_inside_obeys_the_bound(self, model):
        truth = model.theta(beta=[3, 0, 0], w=[0, 1, 0])
        data, centre = fitted(model, truth, 1500)
        found = mt.certify(model, data, centre, radius=0.02, shape="ellipsoid")
        assert found.certified and found.basin is not None
        g, rng = found.region.matrix, np.random.default_rng(0)
        limit = mt.run(mt.EM(model), data, centre, tolerance=1e-14, divergences=False).last
        assert np.all(found.lower <= limit) and np.all(limit <= found.upper)
        for _ in range(5):
            z = rng.standard_normal(6)
            start = centre + (g @ (found.basin_radius * z / np.linalg.norm(z))).reshape(2, 3)
            thetas = mt.run(mt.EM(model), data, start, max_iterations=12, divergences=False).thetas
            distance = np.array([bregman(model, data, limit, t) for t in thetas])
            assert distance[0] < found.basin.divergence
            assert np.all(distance[1:] <= (1 - found.alpha) * distance[:-1] + 1e-15)

    def test_iterations(self, small):
        found = mt.certify(LINEAR, *small, radius=0.1)
        assert (1 - found.alpha) ** found.iterations(1e-3) <= 1e-3 < (1 - found.alpha) ** (found.iterations(1e-3) - 1)

    def test_old_faithful_has_one(self):
        table = old_faithful()
        model = mt.symmetric_linear(table.sigma)
        found = mt.certify(model, mt.Data(table.x, table.y, names=table.features), shape="ellipsoid")
        assert found.certified and found.radius > 0.25 and found.basin_radius > 0.1


class TestAdversary:
    def test_it_finds_more_than_random_points(self, small):
        data, centre = small
        region = Region(centre, None, 0.3)
        found, rng = adversary(Statistics(LINEAR, data), region), np.random.default_rng(1)
        assert np.linalg.norm(found.theta - centre) <= 0.3
        for _ in range(200):
            z = rng.standard_normal((2, 3))
            theta = centre + 0.3 * z / np.linalg.norm(z)
            assert mt.missing_information_matrix(LINEAR, data, theta).lambda_max <= found.value


class TestPopulation:
    def test_it_is_supported_and_no_more(self):
        theta = LINEAR.theta(beta=[3], w=[0.5])
        found = mt.certify(LINEAR, mt.Population(LINEAR, theta), radius=0.05)
        assert found.supported and not found.certified and "supported, not certified" in found.reason
        assert 0 < found.error < 1e-6 and found.found.value < found.lambda_upper < 1.01 * found.found.value
        exact = mt.predict_rate(LINEAR, mt.Population(LINEAR, theta), theta).lambda_max
        assert found.lambda_centre == pytest.approx(exact, abs=1e-8)


class TestFile:
    def test_it_says_all_and_is_sealed(self, small, tmp_path):
        data, centre = small
        found = mt.certify(LINEAR, data, centre, radius=0.1)
        found.save(tmp_path / "c.json")
        read = json.loads((tmp_path / "c.json").read_text())
        assert read["seal"] == seal(read) and read == found.document
        assert read["data"]["digest"] == data.digest and read["bound"]["alpha"] == found.alpha
        read["bound"]["alpha"] += 1e-9
        assert read["seal"] != seal(read)

    def test_what_was_not_proved_is_not_saved(self, small, tmp_path):
        found = mt.certify(LINEAR, *small, radius=4.0)
        with pytest.raises(mt.InputError, match="expected one that was proved"):
            found.save(tmp_path / "c.json")
        assert not list(tmp_path.iterdir())

    def test_in_words(self, small):
        found = mt.certify(LINEAR, *small, radius=0.1)
        assert str(found).startswith("symmetric-linear, 800 rows: for ‖θ-c‖_H ≤ 0.1") and "σ" not in str(found)
        ball = mt.certify(LINEAR, *small, radius=0.1, shape="euclidean")
        assert str(ball).startswith("symmetric-linear, 800 rows: for ‖θ-c‖ ≤ 0.1")
        assert "no certificate for symmetric-linear" in str(replace(found, certified=False, reason="…"))


@pytest.fixture(scope="module")
def curve(small):
    data, centre = small
    return radius_curve(data, mt.certify(LINEAR, data, centre, radius=0.2))


class TestPictures:
    def test_bounds_lie_above_what_was_found(self, curve):
        best = np.minimum(curve.bounds["worst-case"], curve.bounds["taylor"])
        assert np.all(best >= curve.found) and np.all(best[1:] >= best[:-1]) and np.all(np.diff(curve.found) >= 0)

    def test_figure_and_page(self, curve):
        figure = certificate_figure(curve)
        (axes,) = figure.axes
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert "radius" in axes.get_xlabel() and len(labels) == 5
        assert sum("proved bound" in label for label in labels) == 2
        assert pickle.loads(pickle.dumps(figure)).axes  # `verify` draws it in another process
        page = certificate_page(curve.certificate, curve, "rows.csv")
        for text in ("EM converges linearly on rows.csv", curve.certificate.source.digest, "moe-theory check", "<svg"):
            assert text in page
        assert 'class="tex"' not in page  # every formula was set


class TestCommand:
    @pytest.fixture
    def table(self, tmp_path):
        from importlib.resources import files

        path = tmp_path / "geyser.csv"
        path.write_bytes(files("moe_theory.datasets").joinpath("old_faithful.csv").read_bytes())
        return path

    OPTIONS = ("--sigma", "6", "--response", "waiting_centred", "--features", "previous_waiting", "--intercept")

    def run(self, capsys, *arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["certify", *map(str, arguments)])
        out = capsys.readouterr()
        return end.value.code, out.out, out.err

    def test_json(self, capsys, table, tmp_path):
        cert = tmp_path / "cert.json"
        code, out, err = self.run(
            capsys, table, *self.OPTIONS, "--shape", "ellipsoid", "--out", cert, "--page", tmp_path / "c.html",
            "--figure", tmp_path / "c.png", "--json",
        )  # fmt: skip
        said = json.loads(out)
        keys = {"certified", "alpha", "radius", "basin_radius", "lambda_upper", "lambda_found", "reason"}
        assert code == 0 and not err and keys <= set(said) and said["certified"] and said["reason"] == ""
        assert json.loads(cert.read_text())["bound"]["alpha"] == said["alpha"]
        assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG" and "<svg" in (tmp_path / "c.html").read_text()
        assert json.loads(cert.read_text())["data"] | {"digest": ""} == {
            "rows": 271, "features": ["intercept", "previous_waiting"], "response": "waiting_centred",
            "intercept": True, "digest": "",
        }  # fmt: skip

    def test_words(self, capsys, table):
        code, out, _ = self.run(capsys, table, *self.OPTIONS, "--radius", "0.001", "--alpha", "0.5")
        assert code == 0 and "EM converges to it from every start" in out and "0.5^T" in out
        assert "σ = 6 is declared, and at the centre the residuals' standard deviation is 5.86." in out

    def test_sigma_that_is_not_the_residuals(self, capsys, table, tmp_path):
        """σ = 1 by default on minutes of waiting: said, with what to do; and the ellipsoid needs not be asked for."""
        page = tmp_path / "c.html"
        code, out, _ = self.run(capsys, table, *self.OPTIONS[2:], "--page", page)
        assert code == 0 and "σ = 1 is declared, but at the centre" in out and "is 5.65: try --sigma 5.65." in out
        assert "5.65, not σ: the data call for another model" in page.read_text()
        code, out, _ = self.run(capsys, table, *self.OPTIONS[2:], "--json")
        said = json.loads(out)
        assert said["sigma"] == 1 and said["residual_sd"] == pytest.approx(5.65, abs=5e-3)
        assert said["shape"] == "ellipsoid" and said["basin_radius"] > 0.05
        code, out, _ = self.run(capsys, table, *self.OPTIONS[2:], "--radius", "5")
        assert code == 1 and "try --sigma 5.65" in out

    def test_no_certificate_writes_nothing(self, capsys, table, tmp_path):
        cert = tmp_path / "cert.json"
        code, out, err = self.run(capsys, table, *self.OPTIONS, "--radius", "5", "--out", cert, "--json")
        said = json.loads(out)
        assert code == 1 and not said["certified"] and "not below 1" in said["reason"] and said["basin_radius"] is None
        assert "not written" in err and not cert.exists()
        code, out, _ = self.run(capsys, table, *self.OPTIONS, "--radius", "5")
        assert code == 1 and out.startswith("No certificate: λ_max(M)")

    def test_bad_input(self, capsys, table, tmp_path):
        other = tmp_path / "other.json"
        other.write_text("{}")
        shutil.copy(table, tmp_path / "data.json")
        cases = [
            ((), "--response: expected the column"),
            (("--response", "none"), "column: expected one of"),
            ((*self.OPTIONS, "--radius", "0"), "radius: expected a number > 0"),
            ((*self.OPTIONS, "--alpha", "2"), "alpha: expected a number in the open interval"),
            ((*self.OPTIONS, "--out", other), "--out: expected no other.json"),
            ((*self.OPTIONS, "--out", tmp_path / "c.txt"), "--out: expected a .json file"),
            ((*self.OPTIONS, "--figure", tmp_path / "c.gif"), "--figure: expected a .png, .svg or .pdf file"),
            ((*self.OPTIONS[2:], "--model", "softmax-linear"), "model 'softmax-linear': curved"),
            ((*self.OPTIONS, "--shape", "cube"), "--shape"),
        ]
        for arguments, message in cases:
            code, out, err = self.run(capsys, table, *arguments)
            assert (code, out, err.count("\n")) == (2, "", 1) and message in err, (arguments, err)
        code, _, err = self.run(
            capsys,
            tmp_path / "data.json",
            "--response",
            "waiting",
            "--features",
            "eruption",
            "--out",
            tmp_path / "data.json",
        )
        assert code == 2 and "got the data" in err and (tmp_path / "data.json").read_bytes() == table.read_bytes()


def test_known_experts_are_the_models_own():
    """Models are told apart without their known coefficients: nothing that is kept may hold them."""
    model = gate_only()
    other = model.with_known(-np.array(model.known_coefficients))
    data = mt.MonteCarlo(model, model.theta(w=[0.4, 1.0, -0.3]), 200, 0).data()
    centre = np.array([[0.4, 1.0, -0.3]])
    for m in (model, other, model):
        found = Prover.of(Statistics(m, data), Region(centre, None, 1e-6), "worst-case").least()
        assert found == pytest.approx(mt.missing_information_matrix(m, data, centre).lambda_max, rel=1e-3)


class TestTampering:
    """Of the package's own certificates; test_checker.py does the same for ones that a naive maker made."""

    @pytest.fixture(scope="class", params=["euclidean", "ellipsoid"])
    @classmethod
    def own(cls, request):
        truth = LINEAR.theta(beta=[3, 0.5], w=[0.3, 1])
        data, centre = fitted(LINEAR, truth, 120)
        document = mt.certify(LINEAR, data, centre, shape=request.param).document
        assert mt.check(document, data).valid
        return document, data

    @staticmethod
    def leaves(value, path=()):
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from TestTampering.leaves(value[key], (*path, key))
        else:
            yield path, value

    @staticmethod
    def edits(value):
        if isinstance(value, bool):
            return [not value, None, 1]
        if isinstance(value, int | float):
            near = [value * f for f in (1 + 1e-12, 1 - 1e-12, 1 + 1e-6, 1.01, 0.99, 1.5, 0.5, 2, 10, -1)]
            near += [value + 1, value - 1e-9, 0.0, 1e300, None, str(value), [value], True]
            return [v for v in near if v != value or type(v) is not type(value)]
        if isinstance(value, str):
            return [value + " ", value[::-1] + "x", value[1:] + value[:1] + "-", "", None, 1.0]
        return ["", 0.0, []]

    @staticmethod
    def edited(document, path, value):
        new = json.loads(json.dumps(document))
        inner = new
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return new

    def test_every_edit_is_found(self, own):
        document, data = own
        count = 0
        for path, value in self.leaves(document):
            for other in self.edits(value):
                try:
                    found = mt.check(self.edited(document, path, other), data)
                except mt.InputError:  # not a certificate of ours any more
                    assert path in (("certificate",), ("format",))
                else:
                    assert not found.valid and found.reason, (path, other)
                count += 1
        assert count > 500

    def test_a_renewed_seal_does_not_help(self, own):
        """Numbers of a statement, changed by a per cent or more: they are tied to one another and to the data."""
        document, data = own
        count = 0
        for path, value in self.leaves(document):
            if path[0] not in ("centre", "region", "bound", "curvature", "stationary", "basin", "found", "data"):
                continue
            # Another shape is another region, of which the same may well be true (and is proved then).
            if type(value) not in (int, float) or path[:2] in (("bound", "cuts"), ("region", "factor")):
                continue
            for other in (value * 1.01, value * 0.99, value * 1.5, value * 0.5, value + 1.0):
                new = self.edited(document, path, type(value)(other))
                if new == document:
                    continue
                found = mt.check(new | {"seal": seal(new)}, data)
                assert not found.valid, (path, value, other)
                count += 1
        assert count > 100


@pytest.mark.parametrize("value", [0.12189015, 0.99999999, 1.0, 8.004183576e-11, 123456.789, 0.1 + 0.2])
def test_what_is_shown_is_rounded_to_the_safe_side(value):
    for digits in (3, 4, 6, 8):
        assert float(at_most(value, digits)) <= value <= float(at_least(value, digits))
        assert float(at_least(value, digits)) - float(at_most(value, digits)) <= 1.01 * value * 10.0 ** (1 - digits)
