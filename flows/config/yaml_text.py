"""Reading YAML, where a key given twice is an error: of its two values one would be ignored."""

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        # Looked at before `<<` merges in other mappings, whose values a key may replace.
        node = super().compose_mapping_node(anchor)
        given = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in given:
                    raise ComposerError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                given.add((key.tag, key.value))
        return node


def read_yaml(text: str) -> Any:
    """Return what a YAML text holds; raises yaml.YAMLError."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    except ValueError as error:  # a date such as 2024-13-45
        raise yaml.YAMLError(str(error)) from error


def yaml_fault(error: yaml.YAMLError) -> str:
    """Return what is wrong with a YAML text, and where, in one line."""
    if isinstance(error, ReaderError):
        return f"{error.reason}: character {error.position + 1}"
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if problem is None:
        return str(error)
    for sign in ("'<stream end>'", "<stream end>", "<block end>"):
        problem = problem.replace(sign, "the end")
    return f"{problem}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(problem)
