"""Methods that may say that they cannot tell: risk over coverage, thresholds, what is shown."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from test_gate import SETTINGS, WEIGH, learnt, outputs
from test_selection import SelectorSettings

from modelswitch.config.methods import CHOSEN, SELECTOR
from modelswitch.jobs.compare_selectors import _abstaining
from modelswitch.report.figures import style
from modelswitch.report.figures.abstaining import risks
from modelswitch.report.figures.verification import looks
from modelswitch.report.summaries.abstaining import abstaining_sheet
from modelswitch.results.abstaining import GRID, RiskCoverage
from modelswitch.results.table_files import write_table
from modelswitch.results.tables import Tables
from modelswitch.selector.baselines import Baselines
from modelswitch.selector.contest import Contest, Rivals, fit_baselines
from modelswitch.selector.deciding import decide, made
from modelswitch.selector.outputs import UNDEGRADED, Condition


def test_risks_are_shares_of_the_surest_answers():
    rng = np.random.default_rng(0)
    sure, right = rng.permutation(500) / 500, rng.random(500) < 0.7
    curve = RiskCoverage.of(sure, right)
    for count in (1, 37, 500):
        surest = np.argsort(-sure)[:count]
        assert curve.risks[count - 1] == pytest.approx(1 - right[surest].mean())
    assert curve.aurc == pytest.approx(
        np.mean([1 - right[np.argsort(-sure)[:n]].mean() for n in range(1, 501)])
    )
    points = curve.points()
    assert [p["coverage"] for p in points] == pytest.approx(GRID)
    assert points[-1]["risk"] == pytest.approx(1 - right.mean())


def test_of_equally_sure_samples_the_order_is_of_no_meaning():
    sure, right = np.array([2, 1, 1, 1, 0]), np.array([1, 0, 1, 1, 0])
    expected = [0, 1 / 6, 2 / 9, 1 / 4, 2 / 5]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 1, 2]):
        curve = RiskCoverage.of(sure[order], right[order])
        assert curve.risks.tolist() == pytest.approx(expected)
    # A threshold cannot part them.
    assert curve.threshold(0.24) == 2
    assert curve.threshold(0.25) == 1
    assert curve.at(1) == (pytest.approx(0.8), pytest.approx(0.25))


def test_the_risk_of_equally_sure_samples_is_not_missed_by_rounding():
    curve = RiskCoverage.of([1, 1, 1, 0, 0, 0], [False, True, False, True, False, True])
    assert curve.at(curve.threshold(0.5)) == (1.0, pytest.approx(0.5))


def test_where_the_surest_is_wrong_nothing_is_answered():
    curve = RiskCoverage.of([3, 2, 1], [False, True, True])
    assert curve.threshold(0.1) == math.inf
    coverage, risk = curve.at(math.inf)
    assert coverage == 0
    assert math.isnan(risk)


def test_confidence_rises_with_the_probability_of_the_class_that_is_named():
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 60, 5)
    ones = torch.ones(2)
    answers = Baselines(("a", "b"), ones, ones, torch.tensor([0.3, 1.7])).answers(logits)
    p = logits.double().softmax(2)
    named = {
        "always_b": p[1].amax(1),
        "largest_probability": p.amax(2).amax(0),
        "sum_rule": p.mean(0).amax(1),
        "product_rule": (p.prod(0) / p.prod(0).sum(1, keepdim=True)).amax(1),
    }
    for name, probability in named.items():
        order = answers[name].confidence.argsort()
        assert torch.equal(order, probability.argsort()), name
    assert all(answer.confidence.shape == (60,) for answer in answers.values())
    gate = learnt(outputs())
    said = decide(gate, outputs(seed=1).at(UNDEGRADED), WEIGH, ("face", "iris"))
    answer = gate(outputs(seed=1).at(UNDEGRADED))
    p = answer.detach().double().exp().amax(1)
    torch.testing.assert_close(said.confidence, (p / (1 - p)).log(), rtol=1e-3, atol=1e-3)
    spec = SelectorSettings(recognisers="x", parts="sorted", top=2, hidden=[4])
    picker = made(spec, 4, 2)
    picked = decide(picker, logits, spec, ("a", "b"))
    assert (picked.confidence < 0).all()


def test_rivals_answer_once_for_all_selectors_over_the_same_recognisers(monkeypatch):
    held_back, test = outputs(seed=2), outputs(seed=3)
    rivals = Rivals(test, held_back, fit_baselines(held_back, SETTINGS, seed=0), SETTINGS)
    asked = []
    original = Baselines.answers
    monkeypatch.setattr(
        Baselines, "answers", lambda self, logits: (asked.append(1), original(self, logits))[1]
    )
    gate = learnt(held_back)
    first, second = Contest(rivals, gate, WEIGH), Contest(rivals, gate, WEIGH)
    rows = first.rows()
    once = len(asked)
    assert once == len(rivals.conditions)
    assert second.rows() == rows
    first.sure_on_held_back()
    second.sure_on_held_back()
    assert len(asked) == once
    assert second.confusion == first.confusion


def test_a_threshold_of_held_back_samples_is_used_on_test_samples():
    held_back, test = outputs(seed=2), outputs(seed=3)
    rivals = Rivals(test, held_back, fit_baselines(held_back, SETTINGS, seed=0), SETTINGS)
    contest = Contest(rivals, learnt(held_back), WEIGH)
    contest.rows()
    of_held_back = contest.sure_on_held_back()
    sure, right = of_held_back["sum_rule"]
    # Clean, and lid and jpeg at two levels on either side or both; never what is not known.
    assert len(sure) == len(right) == 120 * (1 + 2 * 2 * 3)
    assert {at: len(parts[SELECTOR]) for at, parts in contest.sure.items()} == {
        "clean": 1, "seen": 8, "unseen": 4, "everywhere": 6,
    }  # fmt: skip
    condition = Condition("rectangle", 1.0, ("face",))
    said = contest.decide(condition)
    own = contest.sure["unseen"][SELECTOR]
    assert any(torch.equal(s, said.confidence.float()) for s, _ in own)
    # The chosen baseline is another one in each situation, sure by a measure of its own.
    rows = [row for told, row in _abstaining(contest, 0.2) if told == "abstaining"]
    by_key = {(row["situation"], row["method"]): row for row in rows}
    chosen = {at: rivals.chosen(at) for at in contest.sure}
    assert len(set(chosen.values())) > 1
    for at, method in chosen.items():
        for value in ("coverage", "risk", "aurc"):
            own = by_key[at, method][value]
            assert by_key[at, CHOSEN][value] == pytest.approx(own, nan_ok=True)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    rows, points = [], []
    for seed in range(3):
        for method, share in ((SELECTOR, 0.9), (CHOSEN, 0.8), ("entropy", 0.7)):
            sure = rng.random(200)
            curve = RiskCoverage.of(sure, rng.random(200) < share + 0.1 * sure)
            about = {"seed": seed, "selector": "gate", "method": method, "situation": "seen"}
            coverage, risk = curve.at(0.5)
            row = {"aurc": curve.aurc, "allowed": 0.02, "coverage": coverage, "risk": risk}
            rows.append(about | row)
            points += [about | point for point in curve.points()]
    write_table(tmp_path, "abstaining", pd.DataFrame(rows))
    write_table(tmp_path, "risk_coverage", pd.DataFrame(points))
    return tmp_path


def test_the_table_and_the_curve_show_what_was_computed(folder):
    tables = Tables(folder)
    sheet = abstaining_sheet(tables)
    assert [row["method"] for row in sheet.rows] == [SELECTOR, CHOSEN]
    own = tables.abstaining[tables.abstaining["method"] == SELECTOR]
    assert sheet.rows[0]["aurc"] == pytest.approx(own["aurc"].mean())
    assert "at most 2 % of its answers" in sheet.note
    with style.look():
        figure = risks(tables, "gate")
        panel = figure.axes[0]
        lines = {line.get_label(): line for line in panel.lines}
        assert "Nothing is known" in risks(tables, "mms").texts[0].get_text()
    means = tables.risk_coverage.query("method == 'selector'").groupby("coverage")["risk"].mean()
    np.testing.assert_allclose(lines[SELECTOR].get_ydata(), 100 * means)
    assert "entropy" not in lines
    [band] = panel.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() >= 0
    assert heights.max() <= 100


def test_no_two_methods_are_drawn_alike():
    drawn = looks([SELECTOR, "always_a", "always_b", *map(str, range(12))])
    told = {(look["color"], str(look.get("linestyle", "-"))) for look in drawn.values()}
    assert len(told) == len(drawn)
