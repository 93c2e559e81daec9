"""What of a module's text Python runs, so that digests do not depend on the rest of it."""

import ast

# Of these calls, the texts that only a person reads.
_FOR_PEOPLE = {"Field": "description", "add_argument": "help", "ArgumentParser": "description"}
# How a name is used follows from where it stands; u"a" is "a".
_IMPLIED = ("ctx", "kind", "type_comment")


def running_text(tree: ast.AST) -> str:
    """A syntax tree as text, which is equal for modules that do the same in the same way.

    Without comments, docstrings and layout, without what errors say (``raise SomeError("...")``),
    and without the meanings of settings and options. What is empty is left out, so that fields
    that a newer Python adds to its trees change nothing where they are not used. Should a Python
    make other trees, all digests change once: a test holds one of them.
    """
    parts: list[str] = []
    # Not by recursion: a sum of a thousand terms is a tree as deep.
    left: list[object] = [tree]
    while left:
        item = left.pop()
        if isinstance(item, _Sign):
            parts.append(item)
        elif isinstance(item, ast.AST):
            parts.append(f"{type(item).__name__}(")
            left.append(_END)
            for name in reversed(item._fields):
                value = getattr(item, name, None)
                if value is None or name in _IMPLIED:
                    continue
                if isinstance(item, ast.Raise | ast.Call) or name == "body":
                    value = _effective(item, name, value)
                if value != []:
                    left += (value, _Sign(f"{name}="))
        elif isinstance(item, list):
            parts.append("[")
            left.append(_END)
            left += reversed(item)
        else:
            parts.append(f"{item!r},")
    return "".join(parts)


class _Sign(str):
    """A part of the tree's notation, which no module's text can be taken for."""


_END = _Sign(")")


def _effective(node: ast.AST, name: str, value: object) -> object:
    """The part ``name`` of a node without what has no effect."""
    if name == "body" and isinstance(value, list):
        return [s for s in value if not isinstance(s, ast.Expr) or not _is_constant(s.value)]
    if isinstance(node, ast.Raise) and name == "exc" and isinstance(value, ast.Call):
        if _name(value.func).endswith("Error"):
            given = [argument for argument in value.args if not _is_text(argument)]
            return ast.Call(func=value.func, args=given, keywords=value.keywords)
    elif isinstance(node, ast.Call) and name == "keywords":
        unread = _FOR_PEOPLE.get(_name(node.func))
        return [k for k in node.keywords if k.arg != unread or not _is_text(k.value)]
    return value


def _name(function: ast.AST) -> str:
    """The last part of the name that a call has, if any."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _is_text(node: ast.AST) -> bool:
    """Whether an expression is a text in quotes, also one that is filled in or put together."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
