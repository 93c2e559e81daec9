"""Keys, names and values that mean something else to YAML or to pydantic than to a person."""

import contextlib
import copy
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from test_config import BASE, changed
from yaml import YAMLError

from modelswitch.config.experiment import Experiment, load
from modelswitch.config.messages import describe
from modelswitch.config.written import check_written
from modelswitch.errors import UserError
from modelswitch.graph import Graph

CORRECTNESS = {"rule": "correctness", "delta": 0.1}


def refusal(values: dict) -> str:
    with pytest.raises(UserError) as caught:
        load(values, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ")
    assert "\n" not in message
    return message.removeprefix("my.yaml: ")


def inside(schema: object, key: str) -> set[str]:
    """What stands under `key` anywhere in a schema."""
    if isinstance(schema, list):
        return set().union(*(inside(value, key) for value in schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get(key, ())).union(*(inside(value, key) for value in schema.values()))


SCHEMA = Experiment.model_json_schema()
KEYS = inside(SCHEMA, "properties")
# The values that tell the members of a union apart.
TAGS = sorted(inside(SCHEMA, "mapping"))


def test_the_tags_are_found():
    assert {"plain", "import", "digits", "paired", "fixed", "correctness", "matched"} <= set(TAGS)


@pytest.mark.parametrize("name", [*TAGS, "str", "float", "function", "dict", "[key]"[1:-1], "int"])
def test_names_that_are_types_to_pydantic_stay_in_messages(name):
    values = copy.deepcopy(BASE)
    values["models"][name] = {"family": "plain", "stages": [[0]]}
    assert refusal(values).startswith(f"models.{name}.stages.0.0: found 0; ")
    values = changed(f"transfers.{name}", {"soft": 2})
    assert refusal(values).startswith(f"transfers.{name}.soft: found 2; ")
    values = changed(f"transfers.{name}", {"weighting": {"rule": "correctness", "delta": 2}})
    assert refusal(values).startswith(f"transfers.{name}.weighting.delta: found 2; ")
    assert refusal(changed(f"chains.{name}", 3)).startswith(f"chains.{name}: found 3; ")
    values = changed(f"claims.{name}", {"better": "direct", "than": {"str": "teacher"}})
    assert refusal(values).startswith(f"claims.{name}.than: found ")
    values = changed("selector", {"selectors": {name: {"recognisers": {name: {"float": 1}}}}})
    assert refusal(values).startswith(f"selector.selectors.{name}.recognisers.{name}: found ")


HINT = {"mode": "joint"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("data", {"source": "folder", "path": "x", "size": 32}, "data.size: found 32; .*list"),
        ("data", {"source": "folder", "path": "x", "size": [32]}, r"data.size: found \[32\]; more"),
        ("data", {"source": "paired", "path": "x", "modalities": "ab"}, "data.modalities: .*list"),
        ("transfers.kd.hint", "joint", "transfers.kd.hint: found 'joint'; .*section.*mode"),
        (
            "transfers.kd.hint",
            HINT | {"teacher_layer": [0.5]},
            r"transfers.kd.hint.teacher_layer: found \[0.5\]; .*string or .*number$",
        ),
        (
            "transfers.kd.weighting",
            {"rule": "fixed", "delta": 1},
            "transfers.kd.weighting: unknown key 'delta'; allowed: rule$",
        ),
        ("transfers.kd.weighting", {"delta": 1}, "transfers.kd.weighting: .*'rule' is missing"),
        ("transfers.kd.weighting", ["fixed"], "transfers.kd.weighting: .*section.*rule"),
        ("transfers", ["kd"], "transfers: .*section"),
        ("models.teacher", None, "models.teacher: found None; .*section.*family"),
        # Of two mistakes the first, wherever they are.
        (
            "models.teacher",
            {"family": "resnet", "widths": 3, "blocks": [0]},
            "models.teacher.widths: found 3; .*list",
        ),
        (
            "data",
            {"source": "npz", "path": "x", "augment": 4},
            "data.augment: found 4; a section is expected, with keys of crop, flip",
        ),
        (
            "selector",
            {"selectors": {"s": {"recognisers": ["a", "b"]}}},
            "selector.selectors.s.recognisers: .*string or .*section$",
        ),
        (
            "selector",
            {"selectors": {"s": {"recognisers": {"a": 1}}}},
            "selector.selectors.s.recognisers.a: found 1; .*string .*quotes",
        ),
        ("claims", {"c": {"better": "a", "than": {"a": "b"}}}, "claims.c.than: .*string or .*list"),
        (
            "claims",
            {"c": {"better": "a", "than": "b", "where": {"level": None}}},
            "claims.c.where.level: found None; .*string or .*number or .*boolean or .*list",
        ),
    ],
)
def test_of_a_value_that_may_be_several_things_the_message_has_the_key_and_all_of_them(
    path, value, said
):
    assert re.match(said, refusal(changed(path, value)))


def written(tmp_path, text: str) -> dict:
    """What Snakemake makes of a configuration file."""
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return load_configfile(path)


REST = {key: value for key, value in BASE.items() if key not in ("models", "chains")}
MODEL = "{family: plain, stages: [[4]]}"


@pytest.mark.parametrize(
    "name",
    ["no", "off", "Yes", "ON", "false", "1", "2.0", "007", "1_000", "~", "2024-01-01", "0x1"],
)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_that_is_no_text_to_yaml_is_to_be_quoted(tmp_path, name, quote):
    for section, content in (("models", MODEL), ("chains", "teacher")):
        values = changed("models.teacher.family", "plain") | written(
            tmp_path, f"{section}: {{ {name}: {content} }}"
        )
        message = refusal(values)
        assert re.match(rf"{section}: found .* where a name is expected; .*in quotes", message)
    if re.fullmatch(r"[\w.-]+", name):
        models = written(tmp_path, f"models: {{ {quote}{name}{quote}: {MODEL} }}")
        chains = written(tmp_path, f"chains: {{ {quote}{name}{quote}: {quote}{name}{quote} }}")
        assert list(load(REST | models | chains).lineages) == [name]


@pytest.mark.parametrize("value", ["no", "7", "1.5", "~", "2024-01-01"])
def test_a_text_that_is_none_to_yaml_is_to_be_quoted(tmp_path, value):
    values = BASE | written(tmp_path, f"chains: {{ a: {value} }}")
    assert re.match(r"chains\.a: found .*string .*quotes", refusal(values))


@pytest.mark.parametrize(
    "path",
    [
        "training.epochs",
        "training.learning_rate",
        "transfers.kd.soft",
        "transfers.kd.temperature",
        "seeds",
        "resources.threads",
        "data.augment.crop",
        "models.teacher.stages",
        "model_training.teacher.epochs",
    ],
)
def test_truth_is_no_number(tmp_path, path):
    for text in ("yes", "[[off]]"):
        value = written(tmp_path, f"value: {text}")["value"]
        message = refusal(changed(path, value))
        assert message.startswith(f"{path}: found {value!r}; not a number"), message


def test_truth_in_a_sweep_is_no_number():
    values = changed("sweeps", {"s": {"chain": "teacher/student@kd", "over": {"soft": [True]}}})
    assert "soft: found True; not a number" in refusal(values)


def digests(values: dict) -> dict[str, str]:
    graph = Graph(load(values))
    return {str(place.lineage): graph.train_job(place).digest for place in graph.all_places()}


@pytest.mark.parametrize(
    ("text", "number"), [("1e-3", 0.001), ("1E-3", 0.001), (".01e2", 1.0), ("2.e0", 2.0)]
)
def test_numbers_with_exponents_are_numbers_wherever_there_may_be_one(tmp_path, text, number):
    """YAML 1.1, which Snakemake reads, takes all of them for text."""
    found = written(tmp_path, f"a: {text}")["a"]
    assert isinstance(found, str)
    for path in (
        "training.weight_decay",
        "transfers.kd.training.learning_rate",
        "model_training.student.weight_decay",
    ):
        assert digests(changed(path, found)) == digests(changed(path, number))
    for over in ({"temperature": [1, None]}, {"weighting": [{"rule": "dkd", "alpha": [None, 2]}]}):
        cases = [
            changed(
                "sweeps",
                {"s": {"chain": "teacher/student@kd", "over": _replaced(over, None, value)}},
            )
            for value in (found, number)
        ]
        assert digests(cases[0]) == digests(cases[1])
    for arguments in ({"rate": found}, {"rates": [{"first": found}]}):
        exact = _replaced(arguments, found, number)
        model = {"family": "import", "path": "my.nets:net"}
        models = [
            BASE["models"] | {"teacher": model | {"arguments": a}} for a in (arguments, exact)
        ]
        assert digests(BASE | {"models": models[0]}) == digests(BASE | {"models": models[1]})


def _replaced(value, old, new):
    if isinstance(value, dict):
        return {key: _replaced(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [_replaced(entry, old, new) for entry in value]
    return new if value == old else value


@pytest.mark.parametrize("name", ["1e3", "1e-3"])
def test_what_is_spelt_like_a_number_can_be_a_name(name):
    values = changed(f"transfers.{name}", {"weighting": CORRECTNESS})
    values["chains"]["other"] = f"teacher/student@{name}"
    matched = {"rule": "matched", "to": name}
    values["sweeps"] = {"s": {"chain": "teacher/student@kd", "over": {"weighting": [matched]}}}
    experiment = load(values)
    assert experiment.all_transfers[f"kd-matched-to{name}"].weighting.to == name


@pytest.mark.parametrize("text", ["2024-01-01", ".nan", "-.inf", "{1: a}", "{yes: a}", "!!set {a}"])
def test_what_json_cannot_carry_to_the_scripts_is_refused(tmp_path, text):
    model = written(tmp_path, f"arguments: {{deep: [{text}]}}")
    values = changed("models.teacher", {"family": "import", "path": "my.nets:net"} | model)
    assert refusal(values).startswith("models.teacher.arguments.deep: ")
    over = written(tmp_path, f"over: {{soft: [{text}]}}")
    values = changed("sweeps", {"s": {"chain": "teacher/student@kd"} | over})
    assert refusal(values).startswith("sweeps.s.over.soft.0: ")


@pytest.mark.parametrize("layer", ["teacher_layer", "student_layer"])
def test_a_number_is_a_depth_and_nothing_else(tmp_path, layer):
    def hint(text: str) -> dict:
        values = written(tmp_path, f"hint: {{mode: joint, {layer}: {text}}}")
        return changed("transfers.kd.hint", values["hint"])

    for text, depth in (("0.5", 0.5), ("1.0", 1.0), ("5e-1", 0.5)):
        found = getattr(load(hint(text)).transfers["kd"].hint, layer)
        assert (type(found), found) == (float, depth)
    for text in ("'1'", "'0.5'", "features.3", "layer1.0.conv1", "'no'"):
        assert getattr(load(hint(text)).transfers["kd"].hint, layer) == text.strip("'")
    for text in ("1", "0", "3", "1.5", "0.0", "-0.5"):
        message = refusal(hint(text))
        assert message.startswith(f"transfers.kd.hint.{layer}: found {text}; ")
        assert f"in quotes: '{text}'" in message
    for text in ("yes", "off"):
        assert re.match(rf"transfers\.kd\.hint\.{layer}: found (True|False); ", refusal(hint(text)))


@pytest.mark.parametrize(
    "section",
    ["sweeps", "claims", "model_training", "training", "responses", "resources", "report",
     "selector", "transfers.kd", "transfers.kd.training", "transfers.kd.weighting",
     "transfers.kd.hint", "data.augment"],
)  # fmt: skip
def test_a_section_without_content_is_one_that_is_not_there(section):
    *parents, last = section.split(".")
    values = changed(section, None)
    if section == "training":
        values["training"] = None
    without = copy.deepcopy(values)
    inner = without
    for parent in parents:
        inner = inner[parent]
    if section == "transfers.kd":
        inner[last] = {}
    else:
        del inner[last]
    assert load(values) == load(without)


def test_transfers_without_content_are_none():
    values = changed("chains", {"first": "teacher"})
    assert load(values | {"transfers": None}) == load(values | {"transfers": {}})
    assert "chains: none given" in refusal(changed("chains", None))


CURIOUS = st.sampled_from(
    [None, True, 0, -1, 1.5, "x", "", "1e-3", [], [None], {}, {"x": 1}, {1: 2}, "fixed", [[]]]
)


@given(st.data())
def test_a_message_has_keys_as_the_yaml_has_them(data):
    """Any value anywhere: accepted, or a line that begins with keys that are really there."""
    put_anywhere(data)


@pytest.mark.long
@settings(max_examples=3000, deadline=None)
@given(st.data())
def test_messages_have_keys_as_the_yaml_has_them_at_length(data):
    put_anywhere(data)


def put_anywhere(data) -> None:
    values = copy.deepcopy(BASE)
    values["transfers"]["kd"] |= {"hint": dict(HINT), "weighting": dict(CORRECTNESS)}
    values["models"]["plain"] = {"family": "import", "path": "a:b", "arguments": {"a": [1]}}
    values["claims"] = {"fixed": {"better": "direct", "than": ["direct", "teacher"]}}
    values["sweeps"] = {"digits": {"chain": "teacher/student@kd", "over": {"soft": [0.2]}}}
    inner, path = values, []
    while True:
        inside = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        path.append(data.draw(st.sampled_from(inside)))
        deeper = inner[path[-1]]
        if not isinstance(deeper, dict | list) or not deeper or data.draw(st.booleans()):
            break
        inner = deeper
    inner[path[-1]] = data.draw(CURIOUS)
    try:
        Experiment.model_validate(values)
    except ValidationError as error:
        message = describe(error, Experiment)
        assert "\n" not in message
        keys = re.match(r"([\w.]+): ", message)
        if keys is None or message.startswith("sweeps: "):
            return
        at, given = values, keys[1].split(".")
        while given and isinstance(at, dict | list) and _has(at, given[0]):
            at = at[given[0] if isinstance(at, dict) else int(given[0])]
            given.pop(0)
        # What is left out, or missing, is a key all the same.
        assert set(given) <= KEYS, message


def _has(values: dict | list, key: str) -> bool:
    return key in values if isinstance(values, dict) else key.isdigit() and int(key) < len(values)


EXAMPLES = sorted((Path(__file__).parents[1] / "config").glob("**/*.yaml"))
WORDS = st.sampled_from(
    ["no", "on", "~", "1", "0", "-1", "1.5", "1e-3", "1e400", ".nan", "2024-01-01", "1:30", "010",
     "''", "'1'", "a b", "a/b@kd", "..", "é", "*x", "&x", "!!set {a}", "!!binary YQ==", "[]", "{}",
     "[[1]]", "{1: 2}", "{rule: wsl}", "<<", "fixed", "plain", "00000000000000000000000"]
)  # fmt: skip


def alter(data) -> None:
    """An example with words or lines changed is read or refused; nothing else happens."""
    lines = data.draw(st.sampled_from(EXAMPLES)).read_text(encoding="utf-8").splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.sampled_from(["word", "word", "word", "twice", "out", "moved"]))
        if kind == "word":
            words = [match.span() for match in re.finditer(r"[^\s,:{}\[\]]+", lines[at])]
            if words:
                start, end = data.draw(st.sampled_from(words))
                lines[at] = lines[at][:start] + data.draw(WORDS) + lines[at][end:]
        elif kind == "twice":
            lines.insert(at, lines[at])
        elif kind == "out":
            lines[at] = "" if len(lines) > 1 else lines[at]
        else:
            lines[at] = data.draw(st.sampled_from(["  ", "    "])) + lines[at]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "altered.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            values = load_configfile(path)
        except (WorkflowError, YAMLError, ValueError, TypeError):
            # Snakemake's own complaint, before this workflow sees anything.
            return
        with contextlib.suppress(UserError):
            check_written([path])
            graph = Graph(load(values, "altered.yaml"))
            for place in graph.all_places():
                graph.train_job(place).canonical()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_altered_example_is_read_or_refused_in_a_line(data):
    alter(data)


@pytest.mark.long
@settings(max_examples=3000, deadline=None)
@given(st.data())
def test_altered_examples_are_read_or_refused_in_a_line(data):
    alter(data)
