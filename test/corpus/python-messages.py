"""Writes the messages that stand as string literals in the Python files named, as JSON lines of [name, base64]."""

import ast
import base64
import json
import os
import re
import sys
import textwrap

FIELD = re.compile(rb"[A-Za-z][A-Za-z0-9-]*[ \t]*:")


def literals(node, place):
    """Every string literal below the node, with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, (str, bytes)):
            yield place, child.value
        elif isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield from literals(child, child.name)
        else:
            yield from literals(child, place)


def as_bytes(value):
    if isinstance(value, bytes):
        return textwrap.dedent(value.decode("latin-1")).encode("latin-1")
    return textwrap.dedent(value).encode("utf-8", "surrogateescape")


def is_message(raw):
    lines = raw.splitlines()
    if len(lines) < 3 or not (FIELD.match(raw) or raw.startswith(b"From ")):
        return False
    return b"" in lines or bool(FIELD.match(lines[1]))


for path in sys.argv[1:]:
    file_name = os.path.basename(path)
    seen = {}
    with open(path, "rb") as file:
        tree = ast.parse(file.read())
    for place, value in literals(tree, "module"):
        try:
            raw = as_bytes(value).lstrip(b"\n")
        except UnicodeEncodeError:
            continue
        if not is_message(raw):
            continue
        seen[place] = seen.get(place, 0) + 1
        count = f".{seen[place]}" if seen[place] > 1 else ""
        print(json.dumps([f"{file_name}:{place}{count}", base64.b64encode(raw).decode()]))
