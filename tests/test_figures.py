"""Figures: each is drawn from tables of any size, and nothing in it overlaps or leaves the page."""

import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import tidy_examples
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.markers import CARETDOWN
from matplotlib.text import Annotation, Text
from scipy import stats

from modelswitch.config.claims import Claim
from modelswitch.config.experiment import load
from modelswitch.report import contents
from modelswitch.report.figures import (
    chains,
    confusions,
    differences,
    learning,
    selection,
    size,
    style,
    verification,
    weighting,
)
from modelswitch.report.figures.draw import FORMATS, draw_all
from modelswitch.report.two_runs import tables_of
from modelswitch.report.write import write_claims
from modelswitch.results.tables import Tables

ROOT = Path(__file__).parents[1]
STUDIES = sorted(
    path.parents[1].name for path in ROOT.glob("results/reference/*/tables/models.csv")
)
EXAMPLES = {
    "few": {"chains": tidy_examples.FEW},
    "many": {"chains": tidy_examples.many_chains(), "epochs": 6},
    "rules": {"chains": tidy_examples.rule_chains(), "epochs": 6},
    "one_seed": {"chains": tidy_examples.FEW, "seeds": (0,)},
}


@pytest.fixture(scope="module", params=EXAMPLES)
def tables(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return Tables(tidy_examples.write(folder, images=200, **EXAMPLES[request.param]))


def not_drawn(axes) -> list[Text]:
    """Numbers of an axis whose places lie outside of what it shows."""
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        found += [tick.label1 for tick in axis.get_major_ticks()
                  if not low <= tick.get_loc() <= high]  # fmt: skip
    return found


def overlaps(figure) -> list[tuple[str, str]]:
    """Pairs of texts of a drawn figure whose boxes cover each other by more than a hair."""
    figure.set_dpi(300)  # as it is saved; the letters of a screen are wider
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = []
    beyond = {id(label) for axes in figure.axes for label in not_drawn(axes)}
    for text in figure.findobj(Text):
        if not text.get_text().strip() or not text.get_visible() or id(text) in beyond:
            continue
        # an annotation's own box holds its arrow too
        box = (
            Text.get_window_extent(text, renderer)
            if isinstance(text, Annotation)
            else text.get_window_extent(renderer)
        )
        texts.append((text, box))
    return [
        (first.get_text(), second.get_text())
        for (first, a), (second, b) in itertools.combinations(texts, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 4 and min(a.y1, b.y1) - max(a.y0, b.y0) > 4
    ]


def test_every_figure_is_a_picture_and_a_drawing(tables, tmp_path):
    items = contents.figures(contents.facts_in(tables))
    written = draw_all(tables, items, tmp_path)
    assert {path.suffix for path in written} == {".png", ".svg"}
    assert all(path.stat().st_size > 2000 for path in written)
    names = {item.name for item in items}
    assert {"chains", "size", "learning", "calibration"} <= names
    assert ("differences" in names) != ("rules" in names), "no student from scratch there"
    assert ("delta" in names) == (len(contents.facts_in(tables).rules) > 1)


def faults_of(tables, items) -> list[str]:
    """What a reader of figures on paper would stumble over: letters on letters, or too small."""
    found = []
    with style.look():
        for item in items:
            part = tables.of(item.dataset) if item.dataset else tables
            module, function = item.draw.split(":")
            figure = getattr(importlib.import_module(f"{style.__package__}.{module}"), function)(
                part, *item.arguments
            )
            found += [f"{item.file}: {a!r} on {b!r}" for a, b in overlaps(figure)
                      if min(len(a), len(b)) > 3]  # fmt: skip
            if figure.get_figwidth() > style.PAGE:
                found.append(f"{item.file}: wider than a page")
            found += [
                f"{item.file}: {text.get_text()!r} of {text.get_fontsize()} pt"
                for text in figure.findobj(Text)
                if text.get_text().strip() and text.get_fontsize() < 6
            ]
    return found


def test_no_label_covers_another_or_is_too_small_to_read(tables):
    items = contents.figures(contents.facts_in(tables))
    if tables.models["lineage"].nunique() > 20:  # in which the others differ in their length only
        items = [item for item in items if item.name in ("chains", "size", "learning")]
    assert faults_of(tables, items) == []


@pytest.mark.long
@pytest.mark.parametrize("name", STUDIES)
def test_figures_of_the_reference_results_can_be_read(name):
    tables = tables_of(str(ROOT / "results/reference" / name))
    facts = contents.facts_in(tables)
    items = contents.figures(facts) + contents.selection_figures(facts)
    assert len(items) > 3
    assert faults_of(tables, items) == []


# RGB of a display as the two common kinds of colour blindness see it (linear light; Machado,
# Oliveira & Fernandes 2009, table of severity 1.0), and as everybody does.
SEEN_AS = {
    "by everybody": np.eye(3),
    "without red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                          [-0.003882, -0.048116, 1.051998]],
    "without green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                            [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip
D65 = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
       [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip


def lab(colour: str, seen=SEEN_AS["by everybody"]) -> np.ndarray:
    """CIE L*a*b* of a colour (CIE 15:2004); a step of L* by 1 is just to be seen."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.array(D65) @ np.clip(np.array(seen) @ linear, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = (v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


TOGETHER = {
    "the first three": style.PALETTE[:3],
    "kinds of chains": [face for face, _, _ in size.KINDS],
    "lines of chains": size.PATHS[1:],
}


@pytest.mark.parametrize("colours", TOGETHER.values(), ids=TOGETHER)
def test_colours_that_stand_alone_are_told_apart_in_grey_and_by_the_colour_blind(colours):
    for a, b in itertools.combinations(colours, 2):
        assert abs(lab(a)[0] - lab(b)[0]) > 15, "in grey there is the lightness alone"
        for how, seen in SEEN_AS.items():
            assert np.linalg.norm(lab(a, seen) - lab(b, seen)) > 20, how


def test_numbers_on_discs_can_be_read():
    for face, ink, _ in size.KINDS:
        lights = sorted(((lab(colour)[0] + 16) / 116) ** 3 for colour in (face, ink))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, "WCAG 2.1, 1.4.3"


def test_no_line_is_known_by_its_colour_alone():
    looks = [(style.dashes(i), style.marker(i)) for i in range(20)]
    assert len(set(looks)) == 20
    rivals = selection._looks(list(selection.RIVALS), set()).values()
    assert len({(look.get("linestyle", "-"), look.get("marker"), look["linewidth"])
                for look in rivals}) == len(selection.RIVALS)  # fmt: skip
    fusions = verification.looks(["a", "b", "c", "d"]).values()
    assert len({look["linestyle"] for look in fusions}) == 4


def test_verdicts_have_shapes_of_their_own(tmp_path):
    tidy_examples.write(tmp_path, images=300, epochs=2)
    stated = {"yes": Claim(better="chain", than="scratch"),
              "no": Claim(better="scratch", than="chain"),
              "perhaps": Claim(better="chain", than="scratch", smallest=0.0201)}  # fmt: skip
    write_claims(stated, tmp_path)
    with style.look():
        [axes] = differences.forest(Tables(tmp_path)).axes
    at = {text.get_text(): text.get_position()[1] for text in axes.texts}
    looks = set()
    for name in stated:
        [dot] = [line for line in axes.lines if len(line.get_xdata()) == 1
                 and np.allclose(line.get_ydata(), at[name])]  # fmt: skip
        looks.add((dot.get_marker(), dot.get_markerfacecolor() == "white"))
    assert len(looks) == 3


ONE = {
    "chains": {"a": "teacher"},
    "differences": {"a": "teacher/student@kd", "b": "student"},
    "rules": {"a": "teacher/student@fixed", "b": "teacher/student@wsl"},
}


@pytest.mark.parametrize("name", ONE)
def test_a_figure_that_would_show_one_point_is_not_drawn(name, tmp_path):
    """Whether it is asked of a configuration, before there are results, or of these."""
    tables = Tables(tidy_examples.write(tmp_path, ONE[name], images=60, epochs=1))
    experiment = load(
        {
            "name": "one", "data": {"source": "digits"}, "seeds": [0, 1, 2],
            "models": {m: {"family": "plain", "stages": [[4]]} for m in ("teacher", "student")},
            "transfers": {"kd": {}, "fixed": {}, "wsl": {"weighting": {"rule": "wsl"}}},
            "chains": ONE[name], "training": {"epochs": 1, "warmup": 0},
        }
    )  # fmt: skip
    for facts in (contents.facts_in(tables), contents.facts_of(experiment)):
        drawn = {item.name for item in contents.figures(facts)}
        assert name not in drawn
        assert "learning" not in drawn, "of a single epoch"
        assert ("size" in drawn) == (name != "chains")


def test_claims_of_several_data_sets_without_pairs_are_one_figure(tmp_path):
    tidy_examples.write(tmp_path, {"a": "teacher", "b": "student"}, images=60, epochs=1)
    models = pd.read_csv(tmp_path / "models.csv")
    both = [models.assign(dataset=name) for name in ("periocular", "iris")]
    pd.concat(both).to_csv(tmp_path / "models.csv", index=False)
    stated = {f"claim_{n}": Claim(better="a", than="b") for n in range(2)}
    write_claims(stated, tmp_path)
    items = contents.figures(contents.facts_in(Tables(tmp_path)))
    [item] = [item for item in items if item.name == "differences"]
    assert item.file == "differences"
    draw_all(Tables(tmp_path), [item], tmp_path / "figures", ("svg",))
    drawn = (tmp_path / "figures" / "differences.svg").read_text(encoding="utf-8")
    assert "<!-- claim 0 -->" in drawn
    assert "<!-- claim 1 -->" in drawn


def test_drawing_twice_gives_the_same_file(tables, tmp_path):
    items = contents.figures(contents.facts_in(tables))[:2]
    for folder in ("a", "b"):
        draw_all(tables, items, tmp_path / folder)
    for item in items:
        for kind in FORMATS:
            name = f"{item.file}.{kind}"
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.long
def test_another_process_draws_the_same_files(tmp_path):
    tidy_examples.write(tmp_path / "tables", images=200, **EXAMPLES["rules"])
    for order in ("1", "2"):
        # Another seed of its hashes is another order of Python's sets.
        subprocess.run(
            [
                *(sys.executable, ROOT / "workflow" / "scripts" / "figures.py"),
                *("--tables", tmp_path / "tables", "--output", tmp_path / order),
            ],
            env=os.environ | {"PYTHONHASHSEED": order},
            check=True,
        )
    first, second = (sorted((tmp_path / order).iterdir()) for order in ("1", "2"))
    assert len(first) >= 10
    assert [path.name for path in first] == [path.name for path in second]
    differ = [
        a.name for a, b in zip(first, second, strict=True) if a.read_bytes() != b.read_bytes()
    ]
    assert differ == []


def test_a_figure_without_data_says_so(tmp_path):
    (tmp_path / "models.csv").write_text(
        "dataset,seed,lineage,model,split,accuracy,parameters,chains\nd,0,t,t,test,0.9,10,only\n"
    )
    tables = Tables(tmp_path)
    written = draw_all(tables, list(contents.FIGURES), tmp_path / "figures")
    assert len(written) == 2 * len(contents.FIGURES)


def test_claims_with_long_names_stay_apart(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    names = [f"selector_beats_fusion_on_{what}_degradations" for what in ("seen", "unseen")]
    write_claims({name: Claim(better="chain", than="direct") for name in names}, tmp_path)
    with style.look():
        figure = differences.forest(Tables(tmp_path))
        shown = [text.get_text().replace("\n", " ") for text in figure.findobj(Text)]
        assert {name.replace("_", " ") for name in names} <= set(shown)
        assert overlaps(figure) == []


def test_what_has_no_table_has_no_figure(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    for name in ("history.csv", "predictions.parquet", "class_confusions.csv"):
        (tmp_path / name).unlink()
    items = contents.figures(contents.facts_in(Tables(tmp_path)))
    assert [item.name for item in items] == ["chains", "size", "differences"]


def test_a_data_set_that_has_no_results_yet_has_figures_that_say_so(tmp_path):
    tables = Tables(tidy_examples.write(tmp_path, images=60, epochs=2))
    [item, *_] = contents.figures(contents.PageFacts(datasets=("other", "pictures")))
    [path] = draw_all(tables, [item], tmp_path, ["png"])
    assert path.name == "chains-other.png"


def test_selection_figures(tmp_path):
    tables = Tables(tidy_examples.write_selection(tmp_path))
    items = contents.selection_figures(
        contents.PageFacts(datasets=(), selectors=("mms",), sides=("periocular", "both"))
    )
    names = [path.name for path in draw_all(tables, items, tmp_path, ["png"])]
    assert names == ["selection-mms-periocular.png", "selection-mms-both.png"]


@pytest.fixture(scope="module")
def confused(tmp_path_factory):
    """Two chains of three classes, of which b is often taken for c, in two seeds."""
    folder = tmp_path_factory.mktemp("confused")
    names, rows, own, models = ["a", "b", "c"], [], [], []
    counts = {
        "teacher/s@kd": [[9, 1, 0], [0, 6, 4], [1, 0, 19]],
        "s": [[10, 0, 0], [2, 5, 3], [0, 2, 18]],
    }
    for lineage, table in counts.items():
        for seed in (0, 1):
            key = {"dataset": "d", "seed": seed, "lineage": lineage, "split": "test"}
            models.append(key | {"model": "s", "accuracy": 0.8, "parameters": 9,
                                 "chains": "switched" if "@" in lineage else "alone"})  # fmt: skip
            for label, line in enumerate(table):
                name = {"label": label, "label_name": names[label]}
                own.append(key | name | {"images": sum(line), "recall": line[label] / sum(line)})
                rows += [
                    key | name | {"predicted": p, "predicted_name": names[p], "images": images}
                    for p, images in enumerate(line)
                    if images
                ]
    pd.DataFrame(models).to_csv(folder / "models.csv", index=False)
    pd.DataFrame(own).to_csv(folder / "per_class.csv", index=False)
    pd.DataFrame(rows).to_csv(folder / "class_confusions.csv", index=False)
    return Tables(folder), counts


def test_a_matrix_shows_the_share_of_each_class_that_is_mistaken(confused):
    tables, counts = confused
    with style.look():
        figure = confusions.matrices(tables)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}
    for title, lineage in (("switched", "teacher/s@kd"), ("alone", "s")):
        expected = np.array(counts[lineage]) / np.sum(counts[lineage], axis=1, keepdims=True)
        mistakes, right = (image.get_array() for image in panels[title].images)
        off = ~np.eye(3, dtype=bool)
        assert mistakes[off].tolist() == pytest.approx((100 * expected)[off].tolist())
        assert mistakes.mask.diagonal().all()
        assert (right.mask == off).all()
        assert mistakes.max() <= panels[title].images[0].norm.vmax == pytest.approx(40)
        written = {(int(y), int(x)): text for text in panels[title].texts
                   for x, y in [text.get_position()]}  # fmt: skip
        assert {at: text.get_text() for at, text in written.items()} == {
            at: f"{100 * share:.0f}" for at, share in np.ndenumerate(expected) if share
        }
    assert [label.get_text() for label in panels["switched"].get_yticklabels()] == ["a", "b", "c"]


def test_of_many_classes_the_worst_pairs_are_drawn(confused, monkeypatch):
    monkeypatch.setattr(confusions, "MOST_CLASSES", 2)
    with style.look():
        figure = confusions.matrices(confused[0])
    [panel] = [axes for axes in figure.axes if axes.get_title(loc="left") == "switched"]
    assert [bar.get_width() for bar in panel.patches] == pytest.approx([40, 10, 5])
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["b → c", "a → b", "c → a"]


def test_only_the_most_accurate_chains_have_a_matrix_and_not_by_test_images(tmp_path):
    tidy_examples.write(tmp_path, tidy_examples.many_chains(), images=60, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    of_test = models["split"] == "test"
    models.loc[of_test, "accuracy"] = 1 - models.loc[of_test, "accuracy"]
    models.to_csv(tmp_path / "models.csv", index=False)
    tables = Tables(tmp_path)
    with style.look():
        figure = confusions.matrices(tables)
    titles = {axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()}
    held_back = tables.models["split"] == "validation"
    models = tables.models[held_back & (tables.models["chains"] != "")]
    best = models.groupby("chains")["accuracy"].mean().nlargest(6)
    assert titles == set(best.index)


@pytest.mark.parametrize("name", ["$a$", "Ba$$in", r"\frac{1}", "a_b^c%", "x$\\undefined$", "猫 é"])
def test_names_are_drawn_as_they_are_written(tmp_path, name):
    """Not as formulas, which would fail or show something else, whatever the user's settings."""
    tidy_examples.write(tmp_path, images=60, epochs=2)
    for table, column in (("models", "chains"), ("per_class", "label_name")):
        frame = pd.read_csv(tmp_path / f"{table}.csv", keep_default_na=False)
        first = frame[column] == ("chain" if table == "models" else "class 1")
        frame.loc[first, column] = name
        frame.to_csv(tmp_path / f"{table}.csv", index=False)
    items = [item for item in contents.FIGURES if item.name in ("chains", "size", "confusions")]
    with mpl.rc_context({"text.usetex": True, "axes.grid": False}):
        [*paths] = draw_all(Tables(tmp_path), items, tmp_path / "figures", ["png"])
        with style.look():
            figure = size.accuracy_by_size(Tables(tmp_path))
            overlaps(figure)  # draws it
            assert name in [text.get_text() for text in figure.findobj(Text)]
            assert not mpl.rcParams["text.usetex"]
        assert mpl.rcParams["text.usetex"]
    assert len(paths) == 3


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    chains = {name: f"teacher/student@{name}" for name in ("fixed", "correctness_0.1", "wsl")}
    chains |= {"scratch": "student"}
    folder = tmp_path_factory.mktemp("rules")
    return Tables(tidy_examples.write(folder, chains, images=300, epochs=2))


def accuracies(tables, lineage) -> np.ndarray:
    """Of every seed on the test set, in percent."""
    models = tables.models
    own = models[(models["lineage"] == lineage) & (models["split"] == "test")]
    return 100 * own.sort_values("seed")["accuracy"].to_numpy()


def t_interval(values) -> tuple[float, float, float]:
    """Mean and ends of the 95 % t interval, from the textbook's formula."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return np.mean(values), np.mean(values) - half, np.mean(values) + half


def drawn_at(axes, y: float) -> tuple[float, list[float]]:
    """The dot and the ends of the interval that are drawn at a height."""
    lines = [line for line in axes.lines if np.allclose(line.get_ydata(), y)]
    [dot] = [float(line.get_xdata()[0]) for line in lines if len(line.get_xdata()) == 1]
    [ends] = [list(line.get_xdata()) for line in lines if len(line.get_xdata()) == 2]
    return dot, ends


def test_the_rules_forest_shows_the_differences_to_the_fixed_weight(rules):
    with style.look():
        [axes] = differences.rules_forest(rules).axes
    texts = {text.get_text(): text.get_position() for text in axes.texts}
    for name, lineage in (("correctness ±0.1", "correctness_0.1"), ("wsl", "wsl")):
        gains = accuracies(rules, f"teacher/student@{lineage}") - accuracies(
            rules, "teacher/student@fixed"
        )
        mean, low, high = t_interval(gains)
        dot, ends = drawn_at(axes, texts[name][1])
        assert (dot, *ends) == pytest.approx((mean, low, high))
        written = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]".replace("-", "\N{MINUS SIGN}")
        assert texts[written][1] == texts[name][1]


def forest_of(*estimates: float):
    rows = [
        {"name": f"row {number}", "estimate": each, "low": each - 0.01, "high": each + 0.01,
         "bootstrap_low": each - 0.005, "bootstrap_high": each + 0.005, "colour": "k",
         "marker": "o"}
        for number, each in enumerate(estimates)
    ]  # fmt: skip
    with style.look():
        [axes] = differences.draw({"claims": rows}, "test accuracy").axes
    return axes, {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_one_model_that_died_does_not_hide_what_the_others_win():
    axes, at = forest_of(0.01, -0.02, 0.005, -0.6, 0.015)
    least, most = axes.get_xlim()
    assert -4 < least < -3
    assert 2 < most < 3
    arrows = [line for line in axes.lines if line.get_marker() == "<"]
    assert [(arrow.get_xdata()[0], arrow.get_ydata()[0]) for arrow in arrows] == [
        (0.025, at["row 3"])
    ]
    minus = "\N{MINUS SIGN}"
    assert at[f"{minus}60.00 [{minus}61.00, {minus}59.00]"] == at["row 3"]
    assert drawn_at(axes, at["row 1"]) == (pytest.approx(-2), pytest.approx([-3, -1]))


def with_one_at_ten_percent(folder, dead):
    """Tables in which a model has 10 %, said to have died or not."""
    tidy_examples.write(folder, images=300, epochs=2)
    models = pd.read_csv(folder / "models.csv")
    direct = models["lineage"] == "teacher/student@kd"
    models.loc[direct, "accuracy"] = 0.1
    models["at_chance"] = np.where(direct & dead, "true", "false")
    models.to_csv(folder / "models.csv", index=False)
    return Tables(folder)


@pytest.mark.parametrize("dead", [True, False])
def test_a_model_that_died_does_not_squash_accuracies_by_size(tmp_path, dead):
    tables = with_one_at_ten_percent(tmp_path, dead)
    with style.look():
        axes, listed = size.accuracy_by_size(tables).axes
    arrows = [line for line in axes.lines if line.get_marker() == CARETDOWN]
    assert len(arrows) == dead
    lowest, _ = axes.get_ylim()
    assert (lowest > 50) == dead
    texts = [text.get_text() for text in listed.texts]
    last = texts[texts.index("10.0") - 2]
    [disc] = [text.xy for text in axes.texts if text.get_text() == last]
    living = [text.xy[1] for text in axes.texts if text.get_text() not in (last, "")]
    assert lowest < disc[1] < min(living)
    if dead:
        assert arrows[0].get_xdata()[0] == disc[0]
        assert lowest < arrows[0].get_ydata()[0] < disc[1]
    else:
        assert disc[1] == pytest.approx(10)


@pytest.mark.parametrize("dead", [True, False])
def test_a_model_that_died_does_not_squash_the_tree_of_chains(tmp_path, dead):
    tables = with_one_at_ten_percent(tmp_path, dead)
    with style.look():
        _, right = chains.diagram(tables).axes
    arrows = [line for line in right.lines if line.get_marker() == "<"]
    assert len(arrows) == dead
    assert (right.get_xlim()[0] > 50) == dead
    assert "10.0" in [text.get_text() for text in right.texts]


def test_differences_that_are_no_outliers_are_all_drawn():
    for estimates in ((0.01, -0.02, 0.08), (0.01, 0.6), (-0.3, 0.2, -0.5, 0.6)):
        axes, _ = forest_of(*estimates)
        assert {line.get_marker() for line in axes.lines} <= {"o", "None", ""}
        least, most = axes.get_xlim()
        assert least < 100 * min(estimates)
        assert most > 100 * max(estimates)


def test_the_forest_shows_claims_and_what_chains_win(tmp_path):
    tidy_examples.write(tmp_path, images=300, epochs=2)
    stated = {
        "chain_wins": Claim(better="chain", than="scratch"),
        "scratch_wins": Claim(better="scratch", than="chain"),
        "chain_wins_much": Claim(better="chain", than="scratch", smallest=0.0201),
        "fewer_numbers": Claim(better="chain", than="scratch", metric="parameters"),
    }
    write_claims(stated, tmp_path)
    tables = Tables(tmp_path)
    with style.look():
        [axes] = differences.forest(tables).axes
    at = {text.get_text(): text.get_position()[1] for text in axes.texts}
    texts = [(text.get_text(), text.get_position()[1]) for text in axes.texts]
    assert "fewer numbers" not in at, "what is no share has another axis"
    headings = [
        name for name, _ in texts if name in ("claims", "over scratch", "over a direct switch")
    ]
    assert headings == ["claims", "over scratch", "over a direct switch"]
    names = [name for name, _ in texts if "[" not in name and name not in headings]
    assert names == ["chain wins", "scratch wins", "chain wins much", "direct", "chain", "chain"]
    chain, direct = (tidy_examples.FEW[name] for name in ("chain", "direct"))
    rows = [
        (at["chain wins"], chain, "student"),
        (at["scratch wins"], "student", chain),
        (at["chain wins much"], chain, "student"),
        (_below(texts, "over scratch", "direct"), direct, "student"),
        (_below(texts, "over scratch", "chain"), chain, "student"),
        (_below(texts, "over a direct switch", "chain"), chain, "teacher/student@kd"),
    ]
    for y, better, than in rows:
        gains = accuracies(tables, better) - accuracies(tables, than)
        mean, low, high = t_interval(gains)
        dot, ends = drawn_at(axes, y)
        assert (dot, *ends) == pytest.approx((mean, low, high), rel=1e-4)
        written = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]".replace("-", "\N{MINUS SIGN}")
        assert (written, y) in texts
        # Of 27 equally likely means of three drawn seeds, more than 2.5 % are the lowest gain.
        [thin] = [line for line in axes.lines if np.allclose(line.get_ydata(), y + 0.27)]
        assert thin.get_xdata() == pytest.approx([gains.min(), gains.max()], rel=1e-4)
    colours = {
        name: {line.get_color() for line in axes.lines if np.allclose(line.get_ydata(), at[name])}
        for name in ("chain wins", "scratch wins", "chain wins much")
    }
    assert colours == {"chain wins": {style.GREEN}, "scratch wins": {style.ORANGE},
                       "chain wins much": {style.BLACK}}  # fmt: skip
    assert axes.get_xlabel() == "difference in test accuracy\n(percentage points)"
    others = {"split": "validation"}, {"metric": "macro_f1"}
    for change, said in zip(others, ("difference in accuracy", "difference"), strict=True):
        write_claims({"other": Claim(better="chain", than="scratch", **change)}, tmp_path)
        with style.look():
            [axes] = differences.forest(Tables(tmp_path)).axes
        assert axes.get_xlabel() == f"{said}\n(percentage points)"


def _below(texts: list[tuple[str, float]], heading: str, name: str) -> float:
    """Where a name stands first below a heading: chains are in several groups."""
    start = next(y for text, y in texts if text == heading)
    return min(y for text, y in texts if text == name and y > start)


def test_the_diagram_shows_accuracies_and_sizes(rules):
    with style.look():
        left, right = chains.diagram(rules).axes
    steps = {text.get_text(): text.get_position()[1] for text in left.texts}
    for step, lineage in (("student@fixed", "teacher/student@fixed"), ("teacher", "teacher")):
        mean, low, high = t_interval(accuracies(rules, lineage))
        shown = [t.get_text() for t in right.texts if abs(t.get_position()[1] - steps[step]) < 0.4]
        assert shown == [f"{mean:.1f}"]
        [at] = {t.get_position()[1] for t in right.texts if t.get_text() == shown[0]
                and abs(t.get_position()[1] - steps[step]) < 0.4}  # fmt: skip
        dot, ends = drawn_at(right, at)
        assert (dot, *ends) == pytest.approx((mean, low, high))
    assert {"559 k", "68.8 k"} <= steps.keys()


def test_the_diagram_says_how_each_model_came_about(tmp_path):
    """Where there is more than training and distillation, of which names of transfers tell."""
    chain = {"down": "teacher/middle@kd/student@kd", "up": "large/small@kd"}
    tables = Tables(tidy_examples.write(tmp_path, chains=chain, images=100, epochs=2))
    kinds = {"trained", "given", "merged", "distilled", "pruned", "grown"}

    def shown() -> list[str]:
        figure = chains.diagram(tables)
        assert not overlaps(figure)
        texts = figure.findobj(Text)
        found = [(-text.get_position()[1], text.get_text()) for text in texts]
        return [text for _, text in sorted(found, reverse=True) if text in kinds]

    assert shown() == []
    origins = {"teacher": "given", "middle": "pruned", "large": "merged", "small": "grown"}
    tables.models["origin"] = [origins.get(name, "fresh") for name in tables.models["model"]]
    assert sorted(shown()) == ["distilled", "given", "grown", "merged", "pruned"]


def dots_of(axes) -> dict[float, float]:
    """Accuracy, rounded, to the place on the other axis, of all points."""
    return {round(float(line.get_ydata()[0]), 6): float(line.get_xdata()[0])
            for line in axes.lines if len(line.get_xdata()) == 1}  # fmt: skip


def test_what_has_one_size_stands_in_one_band(rules):
    with style.look():
        axes, _ = size.accuracy_by_size(rules).axes
    dots = dots_of(axes)
    bands = [band.get_extents().transformed(axes.transData.inverted()) for band in axes.patches]
    assert len(bands) == 2, "two sizes"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["559 k", "68.8 k"]
    assert bands[0].x1 < bands[1].x0, "large to small"
    paths = [line.get_xydata() for line in axes.lines if line.get_alpha() == 0.75]
    for lineage, band in (("teacher", 0), ("student", 1), ("teacher/student@wsl", 1)):
        mean = accuracies(rules, lineage).mean()
        at = dots[round(mean, 6)]
        assert bands[band].x0 < at < bands[band].x1
        [upright] = [line for line in axes.lines if np.allclose(line.get_xdata(), at)
                     and len(line.get_xdata()) == 2
                     and min(line.get_ydata()) < mean < max(line.get_ydata())]  # fmt: skip
        assert upright.get_ydata() == pytest.approx(t_interval(accuracies(rules, lineage))[1:])
        if "@" in lineage:  # a path leads from the teacher to its student
            [path] = [path for path in paths if np.allclose(path[-1], (at, mean))]
            assert path[:, 1] == pytest.approx([accuracies(rules, "teacher").mean(), mean])


def test_ends_of_chains_are_numbered_by_rank_and_listed(rules):
    """Numbers need no lines to their names, and no colours."""
    with style.look():
        axes, listed = size.accuracy_by_size(rules).axes
    switched = {name: f"teacher/student@{name}" for name in ("fixed", "correctness_0.1", "wsl")}
    ends = {name: accuracies(rules, lineage).mean()
            for name, lineage in {"scratch": "student", **switched}.items()}  # fmt: skip
    ranked = sorted(ends, key=lambda name: -ends[name])
    numbers = {text.get_text(): text.xy for text in axes.texts}
    assert sorted(numbers) == ["1", "2", "3", "4"]
    assert [numbers[n][1] for n in "1234"] == pytest.approx([ends[name] for name in ranked])
    at = {text.get_text(): text.get_position() for text in listed.texts}
    beside = {text.get_text(): text.xy for text in listed.texts if isinstance(text, Annotation)}
    for number, name in zip("1234", ranked, strict=True):
        assert beside[number][1] == at[name][1]
        assert 0 < at[name][0] - beside[number][0] < 12
        assert f"{ends[name]:.1f}" in at
    assert {"no switch", "one switch"} <= set(at)


def test_models_of_one_size_stand_aside_only_where_they_would_hide_each_other(tmp_path):
    tables = Tables(tidy_examples.write(tmp_path, images=300, epochs=2, seeds=(0,)))
    models = tables.models
    for lineage, accuracy in (("student", 0.5), ("teacher/student@kd", 0.7)):
        models.loc[models["lineage"] == lineage, "accuracy"] = accuracy
    end = tidy_examples.FEW["chain"]
    for above, aside in ((0.701, True), (0.9, False)):
        models.loc[models["lineage"] == end, "accuracy"] = above
        with style.look():
            dots = dots_of(size.accuracy_by_size(tables).axes[0])
        assert dots[50.0] == dots[70.0] or aside
        assert (round(dots[round(100 * above, 6)], 6) != round(dots[70.0], 6)) == aside


def test_without_named_chains_every_model_that_nothing_was_switched_from_ends_a_path(tmp_path):
    tidy_examples.write(tmp_path, images=60, epochs=2)
    models = pd.read_csv(tmp_path / "models.csv")
    models.assign(chains="").to_csv(tmp_path / "models.csv", index=False)
    with style.look():
        axes, _ = size.accuracy_by_size(Tables(tmp_path)).axes
    lengths = sorted(len(line.get_xdata()) for line in axes.lines if line.get_alpha() == 0.75)
    assert lengths == [1, 2, 3], "scratch, a direct switch and a chain"


INSIDE = [
    chains.diagram,
    size.accuracy_by_size,
    differences.forest,
    differences.rules_forest,
    weighting.delta_curve,
    weighting.teacher_right_wrong,
    weighting.weight_histograms,
    learning.calibration,
]


@pytest.mark.parametrize("draw", INSIDE, ids=lambda draw: draw.__name__)
def test_what_is_drawn_lies_within_its_axes(rules, draw):
    with style.look():
        figure = draw(rules)
        FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        points = [line.get_xydata() for line in axes.lines
                  if line.get_transform() == axes.transData]  # fmt: skip
        points += [dots.get_offsets() for dots in axes.collections
                   if isinstance(dots, PathCollection)]  # fmt: skip
        (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        for each in points:
            x, y = np.asarray(each, dtype=float).T
            if draw is weighting.teacher_right_wrong:
                x = x.clip(0, 100)  # an interval may leave what an accuracy can be
            assert left <= np.nanmin(x) <= np.nanmax(x) <= right
            assert low <= np.nanmin(y) <= np.nanmax(y) <= high


def test_the_curve_over_delta_begins_with_the_fixed_weight(rules):
    with style.look():
        above, below = weighting.delta_curve(rules).axes
    assert above.get_ylabel() == "test accuracy (%)"
    assert below.get_ylabel() == "difference to δ = 0\n(percentage points)"
    assert below.get_xlabel().startswith("δ, shift of the soft loss's weight")
    assert above.get_xlim() == below.get_xlim()
    [nought] = [line for line in below.lines if line.get_marker() == "None"]
    assert set(nought.get_ydata()) == {0}
    fixed, shifted = (accuracies(rules, f"teacher/student@{t}")
                      for t in ("fixed", "correctness_0.1"))  # fmt: skip
    for axes, expected in ((above, [fixed, shifted]), (below, [fixed - fixed, shifted - fixed])):
        [curve] = [line for line in axes.lines if line.get_marker() == "o"]
        assert curve.get_xdata().tolist() == [0, 0.1]
        assert curve.get_ydata() == pytest.approx([np.mean(values) for values in expected])
        band = axes.collections[0].get_paths()[0].vertices[:, 1].round(6)
        assert set(np.round(t_interval(expected[1]), 6)[1:]) <= set(band)
    thin = [line.get_ydata().tolist() for line in above.lines if line.get_marker() == "None"]
    assert thin == [pytest.approx(list(pair)) for pair in zip(fixed, shifted, strict=True)]


def test_accuracy_where_the_teacher_is_right_and_wrong(rules):
    with style.look():
        figure = weighting.teacher_right_wrong(rules)
    models = rules.models[rules.models["split"] == "test"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    for axes, metric in zip(figure.axes, ("right", "wrong"), strict=True):
        for name, transfer in (("fixed", "fixed"), ("wsl", "wsl")):
            own = models[models["lineage"] == f"teacher/student@{transfer}"]
            expected = t_interval(100 * own[f"accuracy_teacher_{metric}"].to_numpy())
            dot, ends = drawn_at(axes, names.index(name))
            assert (dot, *ends) == pytest.approx(expected)
            if name == "fixed":
                [dashed] = [line for line in axes.lines if line.get_linestyle() == "--"]
                assert dashed.get_xdata()[0] == pytest.approx(expected[0])


def test_histograms_of_weights_show_shares_of_all_views_and_how_many_are_wrong(rules):
    with style.look():
        figure = weighting.weight_histograms(rules)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}
    assert set(panels) == {"fixed", "correctness ±0.1", "wsl"}
    weights = rules.weights[rules.weights["lineage"] == "teacher/student@wsl"]
    counts = weights.groupby("bin_left")[["count_right", "count_wrong"]].sum()
    # Each is drawn twice: filled, and as a line.
    drawn = [stairs.get_data() for stairs in panels["wsl"].patches]
    for column, pair in (("count_right", drawn[:2]), ("count_wrong", drawn[2:])):
        for shares, edges, _ in pair:
            assert shares == pytest.approx((counts[column] / counts[column].sum()).to_numpy())
            assert edges == pytest.approx(np.linspace(0, 1, 21))
    wrong = counts["count_wrong"].sum() / counts.to_numpy().sum()
    assert [text.get_text() for text in panels["wsl"].texts] == [f"{100 * wrong:.1f} % wrong"]
    highest = max(max(stairs.get_data().values) for axes in panels.values()
                  for stairs in axes.patches)  # fmt: skip
    assert figure.axes[0].get_ylim()[1] > highest


def history_of(tables) -> pd.DataFrame:
    """Validation accuracies of all trainings by epoch, in percent."""
    by_epoch = tables.history.groupby(["lineage", "epoch"])["validation_accuracy"]
    return 100 * by_epoch.agg(["mean", "max"])


def test_learning_curves_show_the_mean_and_the_reach_of_the_seeds(rules):
    with style.look():
        figure = learning.curves(rules)
    [panel] = [axes for axes in figure.axes if axes.get_title(loc="left") == "scratch"]
    history = rules.history[rules.history["lineage"] == "student"]
    epochs = 100 * history.groupby("epoch")["validation_accuracy"].agg(["mean", "min", "max"])
    [curve] = [line for line in panel.lines if line.get_color() == style.BLUE]
    assert curve.get_xdata().tolist() == [1, 2]
    assert curve.get_ydata() == pytest.approx(epochs["mean"].to_numpy())
    band = panel.collections[0].get_paths()[0].vertices
    for end in ("min", "max"):
        assert set(zip([1, 2], epochs[end].round(6), strict=True)) <= set(map(tuple, band.round(6)))
    # A dotted line stands where the model's own teacher ended, and only where it has one.
    ends = rules.history[rules.history["epoch"] == 2].groupby("lineage")["validation_accuracy"]
    dotted = {
        axes.get_title(loc="left"): [line.get_ydata()[0] for line in axes.lines
                                     if line.get_linestyle() == ":"]
        for axes in figure.axes if axes.get_visible()
    }  # fmt: skip
    assert dotted["scratch"] == dotted["teacher"] == []
    assert dotted["wsl"] == [pytest.approx(100 * ends.mean()["teacher"])]
    # From where a quarter of the epochs is over, the curves fill their panels.
    shown = history_of(rules)
    low, high = panel.get_ylim()
    assert low <= shown["mean"].min() <= shown["max"].max() <= high
    assert shown["max"].max() - shown["mean"].min() > 0.8 * (high - low)
    # Behind it are the others of its kind, in grey.
    assert len(panel.lines) == 1 + 3


def test_curves_of_selectors_show_means_over_seeds(tmp_path):
    table = Tables(tidy_examples.write_selection(tmp_path)).selection
    with style.look():
        figure = selection.of_selector(table, "mms", "iris")
    picked, accuracy = figure.axes[0], figure.axes[len(figure.axes) // 2]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "right modality picked (%)", "", "", "accuracy (%)", "", "",
    ]  # fmt: skip
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", ""] + 3 * [
        "strength of the degradation"
    ]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["noise", "occlusion", "blur (unseen)", "", "", ""]
    assert picked.get_ylim() == figure.axes[1].get_ylim(), "one scale for all of a row"
    for axes, metric in ((picked, "selection_accuracy"), (accuracy, "accuracy")):
        for method in ("selector", "largest_probability", "oracle"):
            own = table[(table["method"] == method) & (table["side"] == "iris")
                        & (table["degradation"] == "noise")]  # fmt: skip
            means = 100 * own.groupby("level")[metric].mean()
            [curve] = [line for line in axes.lines if line.get_label() == method]
            assert curve.get_xdata().tolist() == [0, 0.25, 0.5, 0.75, 1]
            assert curve.get_ydata() == pytest.approx(means.to_numpy()), (metric, method)
        own = table[(table["method"] == "selector") & (table["side"] == "iris")
                    & (table["degradation"] == "noise")]  # fmt: skip
        [band] = axes.collections
        edge = set(band.get_paths()[0].vertices[:, 1].round(6))
        for _, values in own.groupby("level")[metric]:
            assert set(np.round(t_interval(100 * values)[1:], 6)) <= edge


def test_numbers_of_neighbouring_panels_of_reliability_stay_apart(tmp_path):
    """Also where the panels below two of them are missing, and they stand closer."""
    few = {name: tidy_examples.FEW[name] for name in ("direct", "chain")}
    tidy_examples.write(tmp_path, few, images=60, epochs=1)
    with style.look():
        figure = learning.calibration(Tables(tmp_path))
        assert sum(axes.get_visible() for axes in figure.axes) == 4
        assert overlaps(figure) == []


def test_reliability_is_drawn_with_wilsons_interval(rules):
    with style.look():
        figure = learning.calibration(rules)
    [panel] = [axes for axes in figure.axes if axes.get_title(loc="left") == "scratch"]
    rows = rules.predictions[rules.predictions["lineage"] == "student"]
    bins = np.minimum((rows["confidence"] * 10).astype(int), 9)
    right = (rows["label"] == rows["predicted"]).groupby(bins).agg(["sum", "count", "mean"])
    kept = right[right["count"] >= 20]
    diagonal, curve = panel.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    sure = rows["confidence"].groupby(bins).mean()[kept.index]
    assert curve.get_xdata() == pytest.approx(sure.to_numpy())
    assert curve.get_ydata() == pytest.approx(kept["mean"].to_numpy())
    dots = panel.collections[1]
    assert np.asarray(dots.get_offsets()) == pytest.approx(curve.get_xydata())
    areas = dots.get_sizes()
    # Beyond what makes the smallest visible, areas go with the share of images.
    assert np.diff(areas) == pytest.approx(22 * np.diff(kept["count"]) / len(rows))
    models = rules.models[rules.models["split"] == "test"]
    error = models[models["lineage"] == "student"]["ece"].mean()
    assert [text.get_text() for text in panel.texts] == [f"ECE {100 * error:.1f} %"]
    band = panel.collections[0].get_paths()[0].vertices
    z, n, p = stats.norm.ppf(0.975), kept["count"], kept["mean"]
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    assert {round(y, 6) for y in (*(centre - half), *(centre + half))} <= {
        round(y, 6) for y in band[:, 1]
    }


def test_labels_keep_their_distance_and_their_order():
    placed = style.spread([1.0, 1.1, 1.05, 5.0], gap=1.0)
    assert placed[3] == 5.0
    ordered = sorted(placed[:3])
    assert all(b - a >= 1.0 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert sorted(range(3), key=lambda i: placed[i]) == [0, 2, 1]
