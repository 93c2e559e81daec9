"""config/README.md, generated from the configuration's models: ``make docs``."""

import types
import typing
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from modelswitch.config.experiment import Experiment
from modelswitch.config.messages import is_tag
from modelswitch.wording import markdown_table

HEADER = """# Configuration

One YAML file describes one experiment: `snakemake --cores all --configfile config/<name>.yaml`.
It is validated before anything is planned; an unknown key is an error. This page is generated
from the sections in `src/modelswitch/config/` by `make docs`, and a test keeps it in step.

A chain is written as a lineage: `teacher/assistant@kd/student@kd` is a first model, then
switches `<model>@<transfer>`, each to a model from `models` by a transfer from `transfers`. A
model trained from scratch is a chain of one. Chains that share a beginning share its trainings.

Names have letters, digits and `. _ + -`, for they become folders. In names that a sweep makes up,
anything else becomes `-`.

Where `family`, `rule` or a loss's `name` is `import`, a function of your own does the work. Python
must find its module, for instance by `PYTHONPATH=.` before the command. When your module changes,
or another one that it imports from the folder it lies in, what was trained with it is trained
again; comments, docstrings and messages do not count. A file or folder that is named among its
`arguments` counts by what it holds; what your code reads besides is not noticed. Your function is
called with its `arguments` and

- a weighting rule with `Samples`, to return a `Balance`: both, and all the built-in rules as
  examples, are in `src/modelswitch/transfer/weighting.py`;
- an output loss with the logits of student and teacher [B, C], the temperature and the labels [B],
  to return one value a sample: examples are in `src/modelswitch/transfer/output_losses/`;
- an inner loss with the features of both layers, maps as [B, C, H, W], to return one value. A
  class derived from `torch.nn.Module` is made with the shapes of both first, so that it can have
  weights of its own: an example is `src/modelswitch/transfer/inner_losses/mse.py`.

Data are known by what their files hold, not by date or place: a file that is touched, copied or
renamed trains nothing, an image that is added trains anew. Which images are for validation and
testing depends on what they show (and on their group) and on the seed, so data that grow keep their
splits: a share is met on average, within a factor of two in every class, and only the few images
nearest to it may change sides when their class grows. Results of one name are of one data set:
other files under the same `name` are refused.

`no`, `on`, `7`, `2024-01-01` and the like are no text to YAML: a name or a path that looks so
stands in quotes. `1e-3` is a number. A section without content is as good as none.

Editors that know JSON schemas complete keys and mark mistakes while you write, with this as the
first line of a file: `# yaml-language-server: $schema=<this clone>/config/schema.json`.

| file | what it is |
|---|---|
"""


def _strip(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _alternatives(annotation: Any) -> list[Any]:
    annotation = _strip(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for arg in get_args(annotation) for part in _alternatives(arg)]
    return [annotation]


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type is made of, through unions, lists and dictionaries."""
    found = []
    for part in _alternatives(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            found.append(part)
        else:
            found += [m for arg in get_args(part) for m in _sections(arg)]
    return found


def _type(annotation: Any) -> str:
    annotation = _strip(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "none"
    if origin is Literal:
        return " | ".join(f"`{arg}`" for arg in args)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type(arg) for arg in args))
    if origin is list:
        return f"list of {_type(args[0])}"
    if origin is tuple:
        return "list of " + ", ".join(_type(arg) for arg in args if arg is not Ellipsis)
    if origin is dict:
        return f"name to {_type(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_title(annotation).lower().replace(' ', '-')})"
    names = {str: "text", int: "whole number", float: "number", bool: "true | false"}
    if annotation is typing.Any:
        return "anything"
    return names.get(annotation, str(annotation))


def _limits(metadata: list[Any]) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    parts = []
    for entry in metadata:
        for name, sign in signs.items():
            bound = getattr(entry, name, None)
            if bound is not None:
                parts.append(f"{sign} {bound}")
    return ", ".join(parts)


def _bounds(field: FieldInfo) -> str:
    inner = list(field.metadata)
    for part in _alternatives(field.annotation):
        inner += getattr(part, "__metadata__", ())
    return _limits(inner)


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "**required**"
    if isinstance(default, BaseModel):
        name = getattr(default, "rule", None) or getattr(default, "name", None)
        return f"`{name}`" if name else "as below"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default != {} else "none"


def _title(model: type[BaseModel]) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in model.__name__).split()
    return " ".join(words).capitalize()


def section(model: type[BaseModel]) -> str:
    """One model as a heading, its docstring and a table of keys."""
    lines = [f"## {_title(model)}", "", " ".join((model.__doc__ or "").split()), ""]
    rows = []
    # First the key that says which of several sections this is.
    for name, field in sorted(model.model_fields.items(), key=lambda key: not is_tag(key[1])):
        bounds = _bounds(field)
        kind = _type(field.annotation) + (f", {bounds}" if bounds else "")
        rows.append((f"`{name}`", kind, _default(field), field.description or ""))
    lines.append(markdown_table(("key", "type", "default", "meaning"), rows, padded=False))
    return "\n".join(lines) + "\n"


def document(examples: dict[str, str]) -> str:
    """The whole page.

    Args:
        examples: file name to its first comment, for the list at the top.
    """
    order: list[type[BaseModel]] = [Experiment]
    for model in order:
        for field in model.model_fields.values():
            order += [m for m in _sections(field.annotation) if m not in order]
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in sorted(examples.items()))
    return HEADER + rows + "\n" + "\n".join(section(model) for model in order)


def first_comment(text: str) -> str:
    """The comment that a YAML file opens with, on one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def main() -> None:
    from pathlib import Path

    files = Path("config").glob("*.yaml")
    print(document({p.name: first_comment(p.read_text(encoding="utf-8")) for p in files}), end="")


if __name__ == "__main__":
    main()
