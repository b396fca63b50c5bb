"""What source text says about lines: which names a statement assigns, where a class begins."""

import ast
import functools
import linecache


@functools.lru_cache(maxsize=None)
def _tree(file):
    text = "".join(linecache.getlines(file))
    try:
        return ast.parse(text) if text else None
    except (SyntaxError, ValueError):
        return None


def _names(target):
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Starred):
        return _names(target.value)
    if isinstance(target, (ast.Tuple, ast.List)):
        return [name for item in target.elts for name in _names(item)]
    return []


def _targets(statement):
    if isinstance(statement, ast.Assign):
        return [name for target in statement.targets for name in _names(target)]
    if isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        return _names(statement.target)
    return []


@functools.lru_cache(maxsize=None)
def _statements(file):
    """line -> the innermost statement there; compound statements own the lines of their heads."""
    owners = {}
    tree = _tree(file)
    for node in ast.walk(tree) if tree else ():  # breadth first: inner statements come later and win
        if isinstance(node, ast.stmt):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                owners[line] = node
    return owners


def targets(file, line):
    statement = _statements(file).get(line)
    return _targets(statement) if statement is not None else []


@functools.lru_cache(maxsize=None)
def class_line(file, qualname):
    """Where `class NAME` stands, by its qualified name; 0 when the text does not say."""
    node = _tree(file)
    for part in qualname.split("."):
        if part == "<locals>" or node is None:
            continue
        found = [n for n in ast.walk(node) if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and n.name == part]
        node = found[0] if found else None
    return node.lineno if isinstance(node, ast.ClassDef) else 0
