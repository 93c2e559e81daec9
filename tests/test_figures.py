"""Figures: each is drawn from tables of any size, and nothing in it overlaps or leaves the page."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tidy_examples
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text

from modelswitch.config.claims import Claim
from modelswitch.report import contents
from modelswitch.report.figures import chains, differences, learning, style
from modelswitch.report.figures.draw import FORMATS, draw_all
from modelswitch.report.write import write_claims
from modelswitch.results.tables import Tables

ROOT = Path(__file__).parents[1]
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


def overlaps(figure) -> list[tuple[str, str]]:
    """Pairs of texts of a drawn figure whose boxes cover each other by more than a hair."""
    figure.set_dpi(300)  # as it is saved; the letters of a screen are wider
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = []
    for text in figure.findobj(Text):
        if not text.get_text().strip() or not text.get_visible():
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
    assert {"chains", "size", "differences", "learning", "calibration"} <= names
    assert ("delta" in names) == (len(contents.facts_in(tables).rules) > 1)


@pytest.mark.parametrize("draw", [chains.diagram, chains.accuracy_by_size, learning.curves])
def test_no_label_covers_another(tables, draw):
    with style.look():
        figure = draw(tables)
        assert figure.get_figwidth() <= style.COLUMN
        visible = [pair for pair in overlaps(figure) if all(len(text) > 3 for text in pair)]
    assert visible == []


def test_drawing_twice_gives_the_same_file(tables, tmp_path):
    items = contents.figures(contents.facts_in(tables))[:2]
    for folder in ("a", "b"):
        draw_all(tables, items, tmp_path / folder)
    for item in items:
        for kind in FORMATS:
            name = f"{item.file}.{kind}"
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


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
    for name in ("history.csv", "predictions.parquet"):
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


def test_labels_keep_their_distance_and_their_order():
    placed = style.spread([1.0, 1.1, 1.05, 5.0], gap=1.0)
    assert placed[3] == 5.0
    ordered = sorted(placed[:3])
    assert all(b - a >= 1.0 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert sorted(range(3), key=lambda i: placed[i]) == [0, 2, 1]
