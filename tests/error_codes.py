"""All codes of errors and findings that the code can raise, read from it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from core.settings import ROOT

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_GIVES = re.compile(r"\b(code = |code=|codes = |Refusal\(|Finding\(|Flaw\()")
# The argument that is the code, of what is given it by its place.
_PLACES = {"Refusal": 1, "Finding": 1, "Flaw": 0}


@cache
def codes_in(root: Path = ROOT) -> frozenset[str]:
    """Codes; one that is put together is a regular expression, such as ``[a-z]+_missing``."""
    parts = ("core", "app", "pages")
    files = sorted(file for part in parts for file in (root / part).rglob("*.py"))
    texts = [file.read_text("utf-8") for file in files]
    trees = [ast.parse(text) for text in texts if _GIVES.search(text)]
    # What a module imports means what it means there; its own name comes first.
    named = {name: text for tree in trees for name, text in _constants(tree)}
    found = set()
    for tree in trees:
        here = {**named, **dict(_constants(tree))}
        found |= {code for node in ast.walk(tree) for code in _of(node, tree, here)}
    return frozenset(code for code in found if "[" in code or _CODE.fullmatch(code))


def is_in(code: str, codes: frozenset[str]) -> bool:
    return any(re.fullmatch(each, code) for each in codes)


def _of(node: ast.AST, tree: ast.Module, named: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        for line in node.body:
            match line:
                case ast.Assign(targets=[ast.Name("code")], value=value):
                    yield from _texts(value, tree, named)
    match node:
        case ast.Assign(targets=[ast.Name("codes")], value=ast.Dict(values=values)):
            for value in values:
                yield from _texts(value, tree, named)
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from _texts(keyword.value, tree, named)
        place = _PLACES.get(getattr(node.func, "id", ""))
        if place is not None and len(node.args) > place:
            yield from _texts(node.args[place], tree, named)


def _texts(value: ast.expr, tree: ast.Module, named: dict[str, str]) -> Iterator[str]:
    match value:
        case ast.Constant(str(text)):
            yield text
        case ast.Name(name) if name in named:
            yield named[name]
        case ast.Name(name):
            yield from _of_variable(name, tree, named)
        case ast.JoinedStr(parts):
            yield "".join(p.value if isinstance(p, ast.Constant) else "[a-z]+" for p in parts)
        case ast.Call(args=[_, *others]):  # table.get(key, "code")
            for other in others:
                yield from _texts(other, tree, named)
        case ast.IfExp(body=body, orelse=other):
            yield from _texts(body, tree, named)
            yield from _texts(other, tree, named)


def _of_variable(name: str, tree: ast.Module, named: dict[str, str]) -> Iterator[str]:
    """What is put into it, alone or as the last of a row of three: ``words, hint, code = ...``."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(other)], value=value) if other == name:
                yield from _texts(value, tree, named)
            case ast.Assign(targets=[ast.Tuple([*_, ast.Name(other)])]) if other == name:
                for row in ast.walk(tree):
                    match row:
                        case ast.Tuple([_, _, ast.Constant(str(text))]):
                            yield text


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for line in tree.body:
        match line:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(text))):
                yield name, text
            case ast.Assign(targets=[ast.Tuple(names)], value=ast.Tuple(values)):
                for each, value in zip(names, values, strict=False):
                    if isinstance(each, ast.Name) and isinstance(value, ast.Constant):
                        yield each.id, str(value.value)
