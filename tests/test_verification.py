"""People in no training: who they are, what stands for an image, error rates, who can decide."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.data import EyePhotosData, PairedData
from modelswitch.config.degradations import Degradations
from modelswitch.config.experiment import load
from modelswitch.config.selector import SelectorSettings
from modelswitch.config.verification import Verification
from modelswitch.data.assembly import Stored
from modelswitch.data.strangers import owner_of, parted
from modelswitch.data.views import Normaliser
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.models.embedding import embeddings_of
from modelswitch.report.figures import style
from modelswitch.report.figures.verification import det
from modelswitch.report.summaries.verification import verification_sheet
from modelswitch.results.table_files import write_table
from modelswitch.results.tables import Tables
from modelswitch.results.verification import Curve
from modelswitch.selector.deciding import made
from modelswitch.selector.gate import seen
from modelswitch.selector.graph import SelectorGraph
from modelswitch.selector.outputs import CLEAN, UNDEGRADED, Condition
from modelswitch.selector.verification import (
    Embedded,
    Fusions,
    People,
    cannot_decide,
    selector_scores,
)

KNOWN = Degradations(seen=["lid"], unseen=["jpeg"], levels=[1.0])
SETTINGS = Verification(enrolled=2, fitting=0.3, impostors=5)


# ----------------------------------------------------------------------------- error rates


def rates(scores: np.ndarray, genuine: np.ndarray, threshold: float) -> tuple[float, float]:
    accepted = scores >= threshold
    return accepted[~genuine].mean(), 1 - accepted[genuine].mean()


def test_rates_are_shares_of_pairs_at_every_threshold():
    rng = np.random.default_rng(0)
    genuine = rng.random(3000) < 0.2
    scores = np.round(rng.normal(size=3000) + 1.5 * genuine, 1)  # many are equal
    curve = Curve.of(scores, genuine)
    every = [rates(scores, genuine, t) for t in (*np.unique(scores), np.inf)]
    for fmr in (0, 1e-3, 0.02, 0.3, 1):
        expected = min(miss for accepted, miss in every if accepted <= fmr)
        assert curve.at(fmr)[0] == pytest.approx(expected)
    below = max((f, -m) for f, m in every if f <= m)
    above = min((f, -m) for f, m in every if f >= m)
    assert below[0] <= curve.eer <= above[0]
    same, other = scores[genuine], scores[~genuine]
    spread = math.sqrt((np.var(same) + np.var(other)) / 2)
    assert curve.d_prime == pytest.approx((same.mean() - other.mean()) / spread)


def test_every_threshold_of_equal_scores_is_a_point_of_the_curve():
    """Also one that lies on the line between its neighbours."""
    scores, genuine = [4, 4, 3, 3, 2, 2, 1, 1], [True, False] * 4
    curve = Curve.of(scores, genuine)
    for threshold in (4, 3, 2, 1):
        expected = rates(np.array(scores, float), np.array(genuine), threshold)
        points = np.column_stack([curve.fmr, curve.fnmr])
        assert np.isclose(points, expected).all(1).any()


def test_normal_scores_have_the_rates_of_the_normal_distribution():
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    genuine = np.arange(400_000) < 200_000
    curve = Curve.of(rng.normal(size=400_000) + 2 * genuine, genuine)
    assert curve.eer == pytest.approx(norm.cdf(-1), abs=0.003)
    assert curve.at(1e-3)[0] == pytest.approx(norm.cdf(norm.isf(1e-3) - 2), abs=0.01)
    assert curve.d_prime == pytest.approx(2, abs=0.02)


def test_the_rate_that_few_pairs_reach_is_said():
    scores, genuine = np.array([4.0, 3, 2, 1, 0]), np.array([1, 0, 1, 0, 0], bool)
    row = Curve.of(scores, genuine).row()
    assert (row["fmr"], row["fnmr"], row["impostors"]) == (pytest.approx(1 / 3), 0.0, 3)
    assert min(p["fmr"] for p in Curve.of(scores, genuine).points()) >= 1 / 3
    # The likeliest pair of all is of two people: nothing is right without an error.
    assert Curve.of(np.array([2.0, 1]), np.array([False, True])).at(0.5) == (1.0, 0.0)


# ------------------------------------------------------------------------ who is held back


def people(count: int = 20, each: int = 3) -> Stored:
    labels = {
        "train": [f"p{n}" for n in range(count)] * each,
        "test": [f"p{n}" for n in range(count)],
    }
    images = {
        name: {
            split: torch.tensor([int(own[1:]) for own in part], dtype=torch.uint8)[
                :, None, None, None
            ]
            for split, part in labels.items()
        }
        for name in ("face", "ear")
    }
    files = {s: [[f"{s}{n}"] * 2 for n in range(len(part))] for s, part in labels.items()}
    return Stored("here", images, labels, files_of=files)


def test_people_are_parted_whole_and_by_their_names_alone():
    stored = people()
    left, strangers = parted(stored, 0.4)
    held = set(strangers["face"].names)
    assert len(held) == 8
    for split, own in left.labels.items():
        assert held.isdisjoint(own)
        assert len(own) == len(left.files_of[split]) == len(left.images["ear"][split])
        for label, image in zip(own, left.images["ear"][split], strict=True):
            assert label == f"p{int(image)}"
    for one in strangers.values():
        shown = [f"p{int(image)}" for image in one.images]
        assert [one.names[at] for at in one.labels.tolist()] == shown
        assert one.labels.bincount().tolist() == [4] * 8
    # As they are listed is of no meaning.
    backwards = {s: list(own)[::-1] for s, own in stored.labels.items()}
    turned = {n: {s: i.flip(0) for s, i in p.items()} for n, p in stored.images.items()}
    again = parted(Stored("here", turned, backwards), 0.4)[1]
    assert set(again["face"].names) == held


@pytest.mark.parametrize("share", [0.1, 0.95])
def test_too_few_on_either_side_are_refused(share):
    with pytest.raises(UserError, match=f"data.strangers: {share} of 20 people of here holds back"):
        parted(people(), share)


def test_both_eyes_of_a_person_are_held_back_together():
    stored = people()
    # Two classes after each other are the eyes of one person, but for one who has one only.
    sides = {f"p{n}": f"q{n // 2}-{('left', 'right')[n % 2]}" for n in range(19)} | {
        "p19": "q10-left"
    }
    eyes = Stored(
        "here", stored.images, {s: [sides[p] for p in own] for s, own in stored.labels.items()}
    )
    left, strangers = parted(eyes, 0.75, owner_of(EyePhotosData(source="eye_photos", path="x")))
    own = strangers["face"]
    assert len(set(own.owners)) == 8
    assert own.owners == [name.rsplit("-", 1)[0] for name in own.names]
    remaining = {label.rsplit("-", 1)[0] for part in left.labels.values() for label in part}
    assert remaining.isdisjoint(own.owners)
    assert len(remaining) == 3


EYES = {
    "name": "eyes",
    "data": {"source": "eyes", "identities": 4},
    "models": {"teacher": {"family": "plain", "stages": [[8]]}},
    "chains": {"full": "teacher"},
    "selector": {"selectors": {"mms": {"recognisers": "full"}}},
}
PAIRED = {"source": "paired", "path": "x", "modalities": ["a", "b"]}
PHOTOS = {"source": "eye_photos", "path": "x"}


def changed(data: dict, verification: dict | None) -> dict:
    selector = EYES["selector"] | ({} if verification is None else {"verification": verification})
    return EYES | {"data": data, "selector": selector}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (changed(PAIRED, {}), "data.strangers is 0, so that everybody is in a training"),
        (changed(PAIRED | {"strangers": 0.3}, None), "that needs selector.verification"),
        (
            changed(PAIRED | {"strangers": 0.3}, {"people": 50}),
            "selector.verification.people: only with data.source: eyes",
        ),
        (changed(EYES["data"], {"captures": 3, "enrolled": 3}), "enrolled: found 3, which leaves"),
        (changed(EYES["data"] | {"strangers": 0.2}, {}), "unknown key 'strangers'"),
        (changed(PHOTOS, {}), "data.strangers is 0, so that everybody is in a training"),
        (changed(PHOTOS | {"strangers": 0.3}, None), "that needs selector.verification"),
        (
            changed(PHOTOS | {"strangers": 0.3, "csv": "x.csv"}, {}),
            "the list in csv says which eye it is and not whose",
        ),
        (
            changed(PHOTOS | {"strangers": 0.3, "pattern": "(?P<eye>C.)"}, {}),
            "the group eye of pattern says which eye it is and not whose",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, said):
    with pytest.raises(UserError, match=said) as error:
        load(values)
    assert "\n" not in str(error.value)


def test_no_training_and_no_selector_depends_on_verification():
    jobs = []
    for verification in (None, {}, {"people": 30, "fitting": 0.5}):
        graph = Graph(load(changed(EYES["data"], verification)))
        selection = SelectorGraph(graph)
        place = selection.recognisers("seed0", "mms")[0]
        jobs.append(
            (
                graph.train_job(place).canonical(),
                selection.job("seed0", "mms").canonical(),
                selection.degraded("iris", "seed0").canonical(),
                graph.experiment.data.canonical(),
            )
        )
    assert jobs[0] == jobs[1] == jobs[2]
    assert "strangers" not in PairedData.model_validate(PAIRED).canonical()


# ------------------------------------------------------------------ what stands for an image


def test_the_last_linear_layer_makes_the_answer_of_what_is_stored():
    torch.manual_seed(0)
    front = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 7), nn.Tanh())
    model = nn.Sequential(front, nn.Linear(7, 5))
    images = torch.randint(0, 256, (11, 8, 8, 1), dtype=torch.uint8)
    normalise = Normaliser([0.5], [0.25], torch.device("cpu"))
    found = embeddings_of(model, images, normalise, "cpu", "it")
    with torch.no_grad():
        torch.testing.assert_close(found, front(normalise(images)))
        torch.testing.assert_close(model[1](found), model(normalise(images)))


def test_an_answer_that_no_linear_layer_gives_is_refused():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])

        def forward(self, x):
            return sum(part(x.flatten(1)) for part in self.parts) / 2

    images = torch.zeros(2, 2, 2, 1, dtype=torch.uint8)
    normalise = Normaliser([0.5], [0.25], torch.device("cpu"))
    with pytest.raises(UserError, match="it: its answer is not the output of one last linear"):
        embeddings_of(Mean(), images, normalise, "cpu", "it")


# ------------------------------------------------------------------------------- who decides


def embedded(count: int = 30, each: int = 6, noise: float = 0.5) -> Embedded:
    """Two recognisers that see a person through noise, and nothing of one where degraded."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count).repeat_interleave(each)
    sets = (CLEAN, *KNOWN.sets)
    vectors = []
    for width in (16, 24):
        person = torch.randn(count, width, generator=generator)[labels]
        parts = [person + noise * torch.randn(person.shape, generator=generator)]
        parts += [torch.randn(person.shape, generator=generator) for _ in KNOWN.sets]
        vectors.append(torch.stack(parts))
    return Embedded(("face", "iris"), sets, tuple(vectors), labels, labels.unique())


def test_nobody_who_is_tested_is_fitted_on_and_pairs_are_cosines_with_templates():
    one = embedded()
    crowd = People(one, SETTINGS, seed=3)
    assert sorted([*crowd.fitted.tolist(), *crowd.tested.tolist()]) == list(range(30))
    assert len(crowd.fitted) == 9
    pairs = crowd.pairs(UNDEGRADED, crowd.tested)
    assert pairs.scores.shape == (2, 21 * 4, 21)
    assert pairs.genuine.sum() == 21 * 4
    assert pairs.genuine[:, 0].all()
    person = int(crowd.tested[0])
    own = F.normalize(one.vectors[1][0], dim=1)[one.labels == person]
    template = F.normalize(own[:2].sum(0), dim=0)
    torch.testing.assert_close(pairs.scores[1, :4, 0], own[2:] @ template)
    # Of a degraded sample fewer are drawn, nobody twice, and never the sample's own person.
    worse = crowd.pairs(Condition("lid", 1.0, ("face",)), crowd.tested)
    assert worse.scores.shape == (2, 21 * 4, 6)
    assert worse.genuine.sum() == 21 * 4
    assert len(worse.scores[1, 0].unique()) == 6
    # The other side is clean, and so are templates.
    torch.testing.assert_close(worse.scores[1, :, 0], pairs.scores[1, :, 0])


def test_the_eyes_of_a_person_are_fitted_on_together_or_tested_together():
    one = dataclasses.replace(embedded(), owners=torch.arange(30) // 2)
    crowd = People(one, SETTINGS, seed=3)
    # Of 15 people 30 % are fitted on.
    assert len(crowd.fitted) == 2 * 4
    assert {at // 2 for at in crowd.fitted.tolist()}.isdisjoint(
        at // 2 for at in crowd.tested.tolist()
    )
    assert crowd.count == 11


def test_fusions_are_their_formulas_and_better_than_one_side():
    crowd = People(embedded(), SETTINGS, seed=3)
    fusions = Fusions.fit(crowd, KNOWN, seed=3)
    pairs = crowd.pairs(UNDEGRADED, crowd.tested)
    scores = fusions.scores(pairs)
    face, iris = pairs.scores.double()
    torch.testing.assert_close(scores["always_iris"], iris)
    torch.testing.assert_close(scores["sum_rule"], face + iris)
    odds = [
        s * c + o for s, c, o in zip(fusions.slopes, (face, iris), fusions.offsets, strict=True)
    ]
    torch.testing.assert_close(scores["calibrated_sum"], odds[0] + odds[1])
    torch.testing.assert_close(scores["largest_probability"], torch.maximum(*odds))
    error = {name: Curve.of(s.flatten(), pairs.genuine.flatten()).eer for name, s in scores.items()}
    assert error["calibrated_sum"] < min(error["always_face"], error["always_iris"])


def test_a_gate_that_changes_nothing_is_a_product_over_claim_and_cohort():
    spec = SelectorSettings(
        recognisers="x", decides="weigh", parts="agreement", hidden=[4], gates=1
    )
    crowd = People(embedded(), SETTINGS, seed=3)
    fusions = Fusions.fit(crowd, KNOWN, seed=3)
    pairs = crowd.pairs(Condition("lid", 1.0, ("face",)), crowd.tested)
    temperatures = torch.tensor([0.5, 2.0])
    width = seen(torch.randn(2, 3, 10), temperatures, spec).shape[2]
    gate = made(spec, width, 2, temperatures)
    found = selector_scores(gate, spec, temperatures, fusions, pairs)
    assert found.shape == pairs.genuine.shape
    row, claim = 5, 2
    cosines = torch.cat([pairs.scores[:, row, claim, None], pairs.cohort[:, row]], 1).double()
    parts = (cosines / fusions.temperatures[:, None]).log_softmax(1)
    share = 1 / (1 + math.exp(3))
    product, mixture = parts.sum(0).softmax(0), parts.exp().mean(0)
    p = ((1 - share) * product + share * mixture)[0]
    assert found[row, claim].item() == pytest.approx((p / (1 - p)).log().item(), abs=1e-3)


def test_one_that_picks_answers_with_the_side_that_it_picks():
    spec = SelectorSettings(recognisers="x", parts="sorted", top=3, hidden=[4])
    crowd = People(embedded(), SETTINGS, seed=3)
    fusions = Fusions.fit(crowd, KNOWN, seed=3)
    pairs = crowd.pairs(Condition("lid", 1.0, ("face",)), crowd.tested)
    network = made(spec, 6, 2)
    with torch.no_grad():
        network.layers[-1].weight.zero_()
        network.layers[-1].bias.copy_(torch.tensor([0.0, 1.0]))
    found = selector_scores(network, spec, torch.ones(2), fusions, pairs)
    torch.testing.assert_close(found, fusions.log_odds(pairs.scores)[1])


@pytest.mark.parametrize(
    ("settings", "cohort", "said"),
    [
        ({"decides": "weigh"}, 40, "sees the outputs for 64 people by name (parts: whole) and"),
        ({}, 40, "allowed: matched, sorted"),
        ({"decides": "weigh", "parts": "agreement"}, 3, ""),
        ({"parts": "sorted"}, 40, ""),
        ({"parts": "matched", "top": 50}, 40, "(top), and here are 40; allowed: at most 40"),
    ],
)
def test_who_cannot_decide_for_others_says_so_in_one_line(settings, cohort, said):
    found = cannot_decide(SelectorSettings(recognisers="x", **settings), cohort, 64)
    assert said in found
    assert bool(found) == bool(said)
    assert "\n" not in found


# ---------------------------------------------------------------------------------- the page


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    genuine = np.arange(900) < 300
    rows, points = [], []
    for seed in range(3):
        about = {"experiment": "e", "seed": seed, "selector": "mms", "recognisers": "{}"}
        rows.append(about | {"method": "selector", "situation": "", "cannot": "sees names"})
        for name in ("gate", "other"):
            for method, apart in (("selector", 3), ("always_a", 1), ("sum_rule", 2)):
                curve = Curve.of(rng.normal(size=900) + apart * genuine, genuine)
                own = about | {"selector": name, "method": method, "situation": "clean"}
                rows.append(own | {"people": 20, "cannot": ""} | curve.row())
                keys = ("experiment", "seed", "selector", "method", "situation")
                points += [{k: own[k] for k in keys} | p for p in curve.points()]
    write_table(tmp_path, "verification", pd.DataFrame(rows))
    write_table(tmp_path, "det", pd.DataFrame(points))
    return tmp_path


def test_the_page_has_what_needs_no_selector_once_and_says_who_cannot_decide(folder):
    sheet = verification_sheet(Tables(folder))
    named = [row[1] for row in sheet.cells()]
    assert named == ["selector gate", "selector other", "always a", "sum rule"]
    assert "mms: sees names." in sheet.warnings
    assert any(
        "An FMR of 0.001 needs 1,000 pairs of two people; with 600" in w for w in sheet.warnings
    )
    assert sheet.rows[0]["fmr"] == pytest.approx(1 / 600)


def test_the_curve_is_drawn_in_normal_deviates(folder):
    from scipy.stats import norm

    with style.look():
        figure = det(Tables(folder), "gate")
        [panel] = [axes for axes in figure.axes if axes.get_visible()]
        lines = {line.get_label(): line for line in panel.lines}
    table = Tables(folder).det
    rows = table[(table["selector"] == "gate") & (table["method"] == "sum_rule")]
    means = rows.groupby("fmr")["fnmr"].mean()
    drawn = lines["sum_rule"]
    np.testing.assert_allclose(drawn.get_xdata(), norm.ppf(means.index))
    np.testing.assert_allclose(norm.cdf(drawn.get_ydata()), np.clip(means, 1e-4, 0.9999))
    with style.look():
        assert "Nothing is known" in det(Tables(folder), "mms").texts[0].get_text()
