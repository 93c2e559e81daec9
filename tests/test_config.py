"""What a configuration may say, and what a person is told when it says something else."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.io import PeriodicityDetector

from modelswitch.config import reference
from modelswitch.config.base import Extended, Strict, check_wildcard
from modelswitch.config.data import FolderData
from modelswitch.config.experiment import load
from modelswitch.config.training import Training, TrainingChange
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage

ROOT = Path(__file__).parents[1]
BASE = {
    "name": "try",
    "data": {"source": "digits"},
    "models": {
        "teacher": {"family": "plain", "stages": [[8], [16]]},
        "student": {"family": "resnet", "widths": [4, 8], "blocks": [1, 1]},
    },
    "transfers": {"kd": {"soft": 0.5, "temperature": 4}},
    "chains": {"direct": "teacher/student@kd"},
    "seeds": [0, 1],
    "training": {"epochs": 2, "warmup": 1},
}


def changed(path: str, value: object) -> dict:
    values = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    section = values
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return values


@pytest.mark.parametrize("file", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda p: p.stem)
def test_every_example_is_valid(file):
    experiment = load(yaml.safe_load(file.read_text()), file.name)
    assert Graph(experiment).all_places()


def test_the_two_cifar_experiments_differ_in_where_the_images_are_only():
    first, second = (
        yaml.safe_load((ROOT / "config" / name).read_text())
        for name in ("cifar10.yaml", "cifar10-npz.yaml")
    )
    for values in (first, second):
        for key in ("source", "dataset", "path"):
            values["data"].pop(key, None)
        del values["name"]
    assert first == second


def test_the_reference_is_in_step_with_the_models():
    files = (ROOT / "config").glob("*.yaml")
    comments = {p.name: reference.first_comment(p.read_text()) for p in files}
    assert (ROOT / "config/README.md").read_text() == reference.document(comments), (
        "run `make docs`"
    )


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", "a/b", ["name", "'a/b'"]),
        ("name", "reference", ["name", "reference"]),
        ("models.te@cher", {"family": "plain", "stages": [[1]]}, ["models", "te@cher"]),
        ("models.teacher.stagess", [[1]], ["models.teacher", "stagess", "stages"]),
        ("models.teacher.family", "vgg", ["models.teacher", "vgg", "resnet"]),
        ("models.student.blocks", [1], ["models.student", "blocks", "widths"]),
        ("models.teacher.stages", [[0]], ["models.teacher.stages", "0"]),
        ("chains.direct", "", ["chains.direct", "empty chain"]),
        ("chains.direct", "teacher/student", ["chains.direct", "model@transfer"]),
        ("chains.direct", "teacher/studnet@kd", ["studnet", "teacher, student"]),
        ("chains.direct", "teacher/student@dk", ["transfer", "dk", "kd"]),
        ("chains", {}, ["chains", "at least one"]),
        ("data.source", "mnist", ["data", "mnist", "digits"]),
        ("data.validation", 1.0, ["data.validation", "1.0"]),
        ("transfers.kd.temperature", 0, ["transfers.kd.temperature", "0"]),
        ("transfers.kd.temperature", float("nan"), ["transfers.kd.temperature", "nan"]),
        ("transfers.kd.soft", 1.01, ["transfers.kd.soft", "1.01"]),
        ("transfers.kd.soft", -0.1, ["transfers.kd.soft", "-0.1"]),
        ("transfers.kd.weighting", "wls", ["weighting", "wls", "wsl"]),
        ("transfers.kd.weighting", {"rule": "correctness"}, ["weighting.delta", "missing"]),
        (
            "transfers.kd.weighting",
            {"rule": "correctness", "delta": 0.6},
            ["transfers.kd", "delta", "0.6", "0.5"],
        ),
        ("transfers.kd.hint", {"mode": "both"}, ["hint.mode", "both", "pretrain"]),
        ("training.epochs", 0, ["training.epochs", "0"]),
        ("training.warmup", 3, ["training", "warmup", "2 epochs"]),
        ("training.learning_rate", "fast", ["training.learning_rate", "fast"]),
        ("seeds", [1, 1], ["seeds", "repeat"]),
        ("seeds", [], ["seeds"]),
        ("responses.views", 0, ["responses.views", "0"]),
        ("responses.folds", 1, ["responses.folds", "at least 2"]),
        ("model_training", {"nobody": {"epochs": 3}}, ["model_training", "nobody", "teacher"]),
        ("sweeps", {"s": {"chain": "teacher", "over": {"soft": [1]}}}, ["sweeps.s", "no transfer"]),
        (
            "sweeps",
            {"s": {"chain": "teacher/student@kd", "over": {"soft": [0.5, 2]}}},
            ["sweeps.s", "soft", "2"],
        ),
        (
            "sweeps",
            {"s": {"chain": "teacher/student@kd", "over": {"hint.weight": [1]}}},
            ["sweeps.s", "hint.weight"],
        ),
        (
            "sweeps",
            {"s": {"chain": "teacher/student@kd", "over": {"weighting": ["fixed", "wls"]}}},
            ["sweeps.s", "weighting", "wls", "wsl"],
        ),
        (
            "sweeps",
            {
                "s": {
                    "chain": "teacher/student@kd",
                    "over": {"weighting": [{"rule": "correctness", "delta": [0.1, 0.6]}]},
                }
            },
            ["sweeps.s", "delta", "0.6", "at most 0.5"],
        ),
        (
            "sweeps",
            {
                "s": {
                    "chain": "teacher/student@kd",
                    "over": {"weighting": [{"rule": "correctness", "delta": []}]},
                }
            },
            ["sweeps.s.over.weighting", "delta", "empty"],
        ),
        (
            "sweeps",
            {
                "s": {
                    "chain": "teacher/student@kd",
                    "over": {"weighting": [{"rule": "import", "path": f"{'x' * 200}:y"}]},
                }
            },
            ["sweeps", "too long"],
        ),
        ("report", {"split": "train"}, ["report.split", "'train'", "'test' or 'validation'"]),
        ("results", "here", ["unknown key 'results'", "allowed"]),
    ],
)
def test_a_mistake_is_told_in_one_line_with_key_value_and_what_is_allowed(path, value, said):
    with pytest.raises(UserError) as caught:
        load(changed(path, value), "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ")
    assert "\n" not in message
    for part in said:
        assert part in message, message


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("data", {"source": "digits", "validation": 0}, "data.validation is 0"),
        (
            "claims",
            {"c": {"better": "direct", "than": "teacher", "split": "test"}},
            "claims.c.split is 'test'",
        ),
    ],
)
def test_a_search_on_what_is_not_there_or_on_the_test_set_is_refused(section, value, said):
    values = changed("report", {"split": "validation"})
    load(values)
    with pytest.raises(UserError, match=r"report\.split: found 'validation'.*" + said):
        load(values | {section: value})


def test_a_sweep_is_expanded_into_one_chain_for_every_combination():
    values = changed(
        "sweeps",
        {
            "grid": {
                "chain": "teacher/student@kd",
                "over": {
                    "temperature": [1, 4],
                    "weighting": ["fixed", {"rule": "correctness", "delta": [0.1, 0.2]}],
                },
            }
        },
    )
    experiment = load(values)
    labels = [label for label in experiment.lineages if label.startswith("grid-")]
    assert len(labels) == 6
    label = "grid-temperature1-correctness-delta0.2"
    transfer = experiment.all_transfers[experiment.lineages[label].last.transfer]
    assert (transfer.temperature, transfer.soft, transfer.weighting.delta) == (1, 0.5, 0.2)


def test_a_sweep_reaches_into_a_list_of_hints():
    hints = [{"loss": "mse"}, {"loss": "attention", "weight": 3}]
    values = changed("transfers", {"kd": {"hints": hints}})
    sweep = {"chain": "teacher/student@kd", "over": {"hints.1.weight": [10, 1000]}}
    experiment = load(values | {"chains": {}, "sweeps": {"w": sweep}, "claims": {}})
    weights = [
        [pair.weight for pair in experiment.all_transfers[name].hints]
        for name in ("kd-weight10", "kd-weight1000")
    ]
    assert weights == [[1, 10], [1, 1000]]
    sweep["over"] = {"hints.2.weight": [1]}
    with pytest.raises(UserError, match=r"'hints\.2\.weight' is no key of the transfer"):
        load(values | {"chains": {}, "sweeps": {"w": sweep}, "claims": {}})


def test_variants_of_a_sweep_have_names_that_can_be_folders():
    own = {"rule": "import", "path": "my.rules:gentle", "arguments": {"by": [0.1, 0.2]}}
    over = {
        "weighting": [
            own,
            {"rule": "matched", "to": "kd-import-pathmy.rules-gentle-argumentsby0.1-0.2-hintNone"},
        ],
        "hint": [None, {"mode": ["joint", "pretrain"], "teacher_layer": 0.5}],
    }
    values = changed("sweeps", {"grid": {"chain": "teacher/student@kd", "over": over}})
    experiment = load(values)
    swept = {k: v for k, v in experiment.lineages.items() if k.startswith("grid-")}
    assert len(swept) == 6
    for lineage in swept.values():
        assert Lineage.parse(str(lineage)) == lineage
    last = swept[
        "grid-import-pathmy.rules-gentle-argumentsby0.1-0.2-hint-modejoint-teacher_layer0.5"
    ]
    transfer = experiment.all_transfers[last.last.transfer]
    assert transfer.weighting.arguments == {"by": [0.1, 0.2]}
    assert transfer.hint.mode == "joint"


def test_sweeps_whose_variants_would_share_a_name_are_refused():
    values = changed("transfers.kd-fixed", {"soft": 0.2})
    values["sweeps"] = {"s": {"chain": "teacher/student@kd", "over": {"weighting": ["fixed"]}}}
    with pytest.raises(UserError, match="two different transfers would be named 'kd-fixed'"):
        load(values)


def test_with_folds_the_teacher_itself_is_among_the_results_and_its_fold_teachers_are_not():
    values = changed("responses", {"folds": 3})
    values["transfers"]["kd"]["views"] = "stored"
    graph = Graph(load(values))
    found = {(str(place.branch), str(place.lineage)) for place in graph.models()}
    names = ("teacher", "teacher/student@kd")
    assert found == {(f"seed{seed}", name) for seed in (0, 1) for name in names}
    assert len(graph.all_places()) == 2 * (2 + 3)


def test_a_teacher_answers_once_a_seed_for_all_variants_of_a_sweep():
    rules = ["fixed", "wsl", {"rule": "correctness", "delta": [0.1, 0.2, 0.3]}]
    values = changed("sweeps", {"s": {"chain": "teacher/student@kd", "over": {"weighting": rules}}})
    values["transfers"]["kd"]["views"] = "stored"
    values["chains"] = {}
    graph = Graph(load(values))
    students = [place for place in graph.models() if graph.stores(place)]
    assert len(students) == 2 * 5
    [first, second] = {teacher for place in students for teacher in graph.teachers(place)}
    assert {first.branch.seed, second.branch.seed} == {0, 1}
    stored = {graph.train_job(place).teachers[0].responses for place in students}
    assert stored == {graph.respond_job(first).digest, graph.respond_job(second).digest}


def test_matching_a_rule_that_does_not_weight_samples_is_refused():
    values = changed("transfers.other", {"weighting": {"rule": "matched", "to": "kd"}})
    values["chains"]["other"] = "teacher/student@other"
    with pytest.raises(UserError, match=r"transfers\.other\.weighting\.to.*fixed.*correctness"):
        load(values)


def test_settings_of_models_and_transfers_lie_over_the_experiments():
    values = changed("model_training", {"student": {"epochs": 5, "batch": 7}})
    values["transfers"]["kd"]["training"] = {"epochs": 9}
    experiment = load(values)
    first, second = experiment.lineages["direct"].steps
    assert experiment.training_of(first).epochs == 2
    assert experiment.training_of(second).epochs == 9
    assert experiment.training_of(second).batch == 7


def digests(values: dict) -> dict[str, str]:
    graph = Graph(load(values))
    return {str(p.lineage): graph.train_job(p).digest for p in graph.all_places()}


def test_chains_that_share_a_beginning_share_its_trainings():
    values = changed("chains.again", "teacher/student@kd/student@kd")
    places = Graph(load(values)).all_places()
    assert len(places) == len(set(places)) == 2 * 3


def test_a_change_reaches_what_is_below_it_and_nothing_else():
    values = changed("chains.other", "teacher/student@other")
    values["chains"]["longer"] = "teacher/student@kd/student@other"
    values["transfers"]["other"] = {"soft": 0.2}
    before = digests(values)
    values["transfers"]["kd"]["soft"] = 0.6
    after = digests(values)
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"teacher/student@kd", "teacher/student@kd/student@other"}


def test_swapping_two_values_changes_the_digest():
    values = changed("training.momentum", 0.5)
    values["training"]["weight_decay"] = 0.1
    swapped = changed("training.momentum", 0.1)
    swapped["training"]["weight_decay"] = 0.5
    assert digests(values)["teacher"] != digests(swapped)["teacher"]


def test_a_change_of_a_training_has_every_key_of_a_training_with_its_bounds():
    whole = Training.model_json_schema()["properties"]
    change = TrainingChange.model_json_schema()["properties"]
    assert list(change) == list(whole)
    for name, key in whole.items():
        bounded = {k: v for k, v in key.items() if k not in ("default", "title", "description")}
        allowed = [kind for kind in change[name]["anyOf"] if kind != {"type": "null"}]
        assert allowed == bounded.get("anyOf", [bounded]), name
        assert change[name].get("description") == key.get("description")


@pytest.mark.parametrize("where", ["model_training.student", "transfers.kd.training"])
@pytest.mark.parametrize(("key", "value"), [("epochs", 0), ("momentum", 1), ("optimizer", "adam")])
def test_a_change_out_of_bounds_is_told_with_its_key(where, key, value):
    with pytest.raises(UserError, match=rf"^my\.yaml: {where}\.{key}: found {value!r}; "):
        load(changed(where, {key: value}), "my.yaml")


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("training.warmup", 2, "training"),
        ("training.warmup", 2.0, "training"),
        ("model_training", {"student": {"warmup": 2}}, "model_training.student"),
        # The experiment's warm-up takes all of fewer epochs.
        ("model_training", {"teacher": {"epochs": 1}}, "model_training.teacher"),
        ("transfers.kd.training", {"epochs": 1}, "training of student@kd"),
        (
            "transfers.kd.hint",
            {"mode": "pretrain", "training": {"epochs": 1}},
            "hint training of student@kd",
        ),
    ],
)
def test_a_warmup_that_leaves_nothing_to_decay_is_refused_unless_nothing_is_to_decay(
    schedule, path, value, where
):
    values = changed(path, value)
    values["training"]["schedule"] = schedule
    with pytest.raises(UserError, match=rf"^my\.yaml: {where}: warmup .*never decays \({schedule}"):
        load(values, "my.yaml")
    values["training"]["schedule"] = "constant"
    load(values)


@pytest.mark.parametrize("warmup", [0, 0.5, 1.9])
def test_a_warmup_that_ends_before_the_training_is_allowed(warmup):
    assert load(changed("training.warmup", warmup)).training.warmup == warmup


SWITCHES = "/student@kd"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("chains.direct", "teacher" + 20 * SWITCHES),
        ("chains.direct", "teacher" + 20 * SWITCHES + "/teacher@kd"),
        ("chains.direct", "teacher" + 10 * (SWITCHES + "/teacher@kd") + 40 * SWITCHES),
        ("name", 25 * "0"),
        ("name", 10 * "x-" + 10 * "x-"),
        ("data.name", 20 * "a."),
    ],
)
def test_what_snakemake_takes_for_an_endless_recursion_is_refused(path, value):
    with pytest.raises(UserError, match=rf"^my\.yaml: {path}: .* 20 times in a row .*19 times"):
        load(changed(path, value), "my.yaml")


@given(st.text("ab@/", max_size=3), st.text("ab@/", min_size=1, max_size=3), st.integers(1, 45))
def test_it_is_refused_where_snakemake_refuses_it(start, part, times):
    text = start + times * part
    if PeriodicityDetector().is_periodic(text) is None:
        check_wildcard("name", text)
    else:
        with pytest.raises(ValueError, match="20 times"):
            check_wildcard("name", text)


def test_nineteen_equal_switches_are_a_chain():
    assert len(load(changed("chains.direct", "teacher" + 19 * SWITCHES)).lineages["direct"]) == 20


def test_a_chain_longer_than_a_path_is_refused():
    names = [f"{i:03}" for i in range(300)]
    values = changed("models", dict.fromkeys(["teacher", *names], BASE["models"]["student"]))
    values["chains"] = {"long": "teacher" + "".join(f"/{n}@kd" for n in names[:250])}
    assert len(load(values).lineages["long"]) == 251
    values["chains"] = {"long": "teacher" + "".join(f"/{n}@kd" for n in names * 2)}
    with pytest.raises(UserError, match=r"chains\.long: 4,207 letters, .*allowed: 3,000"):
        load(values)


def sections(kind):
    """A section and all that derive from it."""
    return {kind}.union(*map(sections, kind.__subclasses__()))


def test_younger_keys_are_left_out_of_what_is_hashed():
    """A section that names them has to be one that leaves them out."""
    named = {kind for kind in sections(Strict) if "later" in vars(kind)} - {Extended}
    assert len(named) > 8
    assert [kind for kind in named if not issubclass(kind, Extended)] == []
    folder = FolderData(source="folder", path="x")
    assert "stored" not in folder.model_dump(mode="json")
    assert folder.model_copy(update={"stored": "jpeg"}).model_dump()["stored"] == "jpeg"
