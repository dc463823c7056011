import importlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentiment.errors import StageError
from tasks.fingerprint.reach import Fingerprint, fingerprint

Files = dict[str, str]


class Package:
    """A package on disk whose files a test writes and edits; its stage is ``shop.stage:run``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write({"__init__.py": ""})

    def write(self, files: Files) -> None:
        for name, text in files.items():
            path = self.root / "shop" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / "shop" / name).read_text()
        assert old in text
        self.write({name: text.replace(old, new, 1)})

    def take(self, function: str = "shop.stage:run") -> Fingerprint:
        return fingerprint(function, ["shop"])

    def names(self) -> set[str]:
        return {name.removeprefix("shop/") for name in self.take().definitions}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(tmp_path)
    return Package(tmp_path)


BASE: Files = {
    "stage.py": '''"""The stage."""

import math
import os
from shop.text import clean

LIMIT = 3


def run(rows):
    """Do it."""
    return [clean(row, LIMIT) for row in rows]
''',
    "text.py": '''from shop.words import split


class Base:
    def size(self):
        return 1


class Cleaner(Base):
    """Cleans."""

    marks = "!"

    def clean(self, text):
        # Marks go first.
        return split(text.strip(self.marks))


def clean(text, limit):
    return Cleaner().clean(text)[:limit]


def unrelated():
    return 1
''',
    "words.py": """def split(text, separator=" "):
    return text.split(separator)
""",
}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("stage.py", '"""Do it."""', '"""Do it, in other words."""'),
        ("stage.py", '    """Do it."""\n', ""),
        ("stage.py", '"""The stage."""', ""),
        ("text.py", '    """Cleans."""\n', ""),
        ("text.py", "# Marks go first.", "# Marks go last."),
        ("text.py", "class Base:\n", "class Base:\n    pass\n"),
        ("stage.py", "    return [clean(row, LIMIT) for row in rows]",
         "    return [\n        clean( row, (LIMIT), )   # all\n        for row in rows\n    ]"),
        ("text.py", '"!"', "'!'"),
        ("stage.py", "LIMIT = 3", "LIMIT = 0x3"),
        ("text.py", "    return 1\n\n\nclass Cleaner", "    return (1)\n\n\nclass Cleaner"),
        ("stage.py", "import math\nimport os\nfrom shop.text import clean",
         "from shop.text import clean\nimport os\nimport math\nimport re"),
        ("stage.py", "LIMIT = 3", "LIMIT = 3\nOTHER = 4\n\ndef helper(): return clean('', OTHER)"),
        ("text.py", "def unrelated():\n    return 1", "def unrelated():\n    return 2"),
        ("words.py", "def split", "def unused(): return 1\n\nclass Unused: pass\n\ndef split"),
        ("stage.py", "LIMIT = 3", "LIMIT = 3\nif __name__ == '__main__':\n    print(run([]))"),
        ("stage.py", "LIMIT = 3", "LIMIT = 3\n__all__ = ['run']"),
        ("stage.py", "from shop.text import clean", "from .text import clean"),
    ],
)  # fmt: skip
def test_what_changes_no_behaviour_changes_no_digest(
    shop: Package, file: str, old: str, new: str
) -> None:
    shop.write(BASE)
    before = shop.take()
    shop.edit(file, old, new)
    assert shop.take() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("stage.py", "LIMIT = 3", "LIMIT = 4"),
        ("stage.py", "for row in rows", "for row in rows if row"),
        ("text.py", "[:limit]", "[limit:]"),
        ("text.py", "return 1", "return 2"),  # a method of a base class
        ("text.py", '"!"', '"?"'),
        ("text.py", "Cleaner(Base)", "Cleaner"),
        ("words.py", "text.split(separator)", "text.rsplit(separator)"),
        ("words.py", '" "', '"\\t"'),  # a default
        ("stage.py", "def run", "import functools\n\n@functools.cache\ndef run"),
    ],
)
def test_what_the_function_reaches_counts(shop: Package, file: str, old: str, new: str) -> None:
    shop.write(BASE)
    before = shop.take()
    shop.edit(file, old, new)
    after = shop.take()
    assert after.digest != before.digest
    changed = set(after.definitions.items()) ^ set(before.definitions.items())
    assert f"shop/{file}" in {name.partition(":")[0] for name, _ in changed}


def test_definitions_are_named_by_file_and_name(shop: Package) -> None:
    shop.write(BASE)
    assert shop.names() == {
        "stage.py:LIMIT", "stage.py:run", "text.py:Base", "text.py:Cleaner", "text.py:clean",
        "words.py:split",
    }  # fmt: skip
    taken = shop.take()
    assert list(taken.definitions) == sorted(taken.definitions)
    assert all(len(value) == 16 for value in taken.definitions.values())
    assert len(taken.digest) == 64


# Ways from a stage's function to F, a definition whose change has to count.
WAYS: dict[str, Files] = {
    "decorator": {
        "stage.py": "from shop.a import f\n@f\ndef run(): pass",
        "a.py": "def f(g): return g",
    },
    "decorator of a method, called with arguments": {
        "stage.py": "from shop.a import f\nclass C:\n @f(1)\n def m(self): pass\ndef run(): C()",
        "a.py": "def f(n): return lambda g: g",
    },
    "default": {
        "stage.py": "from shop.a import f\ndef run(x, *, y=f): pass",
        "a.py": "def f(): pass",
    },
    "annotation": {
        "stage.py": "from shop.a import f\ndef run(x: list[f]): pass",
        "a.py": "class f: pass",
    },
    "string annotation": {
        "stage.py": "from shop.a import f\ndef run(x: 'list[f]') -> 'None': pass",
        "a.py": "class f: pass",
    },
    "annotation within a string annotation": {
        "stage.py": "from shop import a\ndef run():\n x: 'dict[str, \"a.f\"]' = {}",
        "a.py": "class f: pass",
    },
    "annotation of a nested function, under the name of a local variable": {
        "stage.py": "from shop.a import f\ndef run():\n def g(f: f): return f\n return g",
        "a.py": "class f: pass",
    },
    "cast": {
        "stage.py": "from typing import cast\nfrom shop.a import f\n"
        "def run(x): return cast('f', x)",
        "a.py": "class f: pass",
    },
    "alias in a string": {
        "stage.py": "from typing import TypeAlias\nfrom shop.a import f\n"
        "T: TypeAlias = 'list[f]'\ndef run(x: T): pass",
        "a.py": "class f: pass",
    },
    "import for annotations only": {
        "stage.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n from shop.a import f\n"
        "def run(x: 'f'): pass",
        "a.py": "class f: pass",
    },
    "base class, metaclass argument": {
        "stage.py": "from shop.a import f\nclass C(metaclass=f): pass\ndef run(): C()",
        "a.py": "class f(type): pass",
    },
    "class body": {
        "stage.py": "from shop.a import f\nclass C:\n x = f()\ndef run(): C()",
        "a.py": "def f(): pass",
    },
    "class body that binds the name itself": {
        "stage.py": "from shop.a import f\ndef run():\n class C:\n  f = f\n return C",
        "a.py": "def f(): pass",
    },
    "lambda in a table": {
        "stage.py": "from shop.a import f\nTABLE = {'a': lambda x: f(x)}\ndef run(): TABLE['a'](1)",
        "a.py": "def f(x): pass",
    },
    "nested function": {
        "stage.py": "from shop.a import f\ndef run():\n def g():\n  def h(): return f()\n return g",
        "a.py": "def f(): pass",
    },
    "comprehension with the same name as target elsewhere": {
        "stage.py": "from shop.a import f\ndef run():\n f()\n return [f for f in ()]",
        "a.py": "def f(): pass",
    },
    "f-string": {
        "stage.py": "from shop.a import f\ndef run(x): return f'{x:{f}}'",
        "a.py": "f = 10",
    },
    "match pattern": {
        "stage.py": "from shop import a\ndef run(x):\n match x:\n  case a.f(): pass",
        "a.py": "class f: pass",
    },
    "except and with": {
        "stage.py": "from shop.a import f\ndef run():\n try: pass\n except f: pass",
        "a.py": "class f(Exception): pass",
    },
    "global": {
        "stage.py": "f = 1\ndef run():\n global f\n f += 1",
    },
    "import a.b as c": {
        "stage.py": "import shop.sub.a as c\ndef run(): c.f()",
        "sub/__init__.py": "",
        "sub/a.py": "def f(): pass",
    },
    "import a.b.c": {
        "stage.py": "import shop.sub.a\ndef run(): shop.sub.a.f()",
        "sub/__init__.py": "",
        "sub/a.py": "def f(): pass",
    },
    "from package import module": {
        "stage.py": "from shop.sub import a as b\ndef run(): b.f.g()",
        "sub/a.py": "class f: pass",  # and a namespace package
    },
    "relative import": {
        "sub/stage.py": "from ..other.a import f as g\ndef run(): g()",
        "stage.py": "from .sub import stage\nfrom .sub.stage import run",
        "other/a.py": "def f(): pass",
    },
    "import in a function": {
        "stage.py": "def run():\n from shop.a import f as g\n return g()",
        "a.py": "def f(): pass",
    },
    "module imported in a function": {
        "stage.py": "def run():\n import shop.a\n return shop.a.f()",
        "a.py": "def f(): pass",
    },
    "global import in another function": {
        "stage.py": "def load():\n global a\n import shop.a as a\ndef run():\n load()\n a.f()",
        "a.py": "def f(): pass",
    },
    "import in a class": {
        "stage.py": "class C:\n from shop.a import f\ndef run(): C.f()",
        "a.py": "def f(): pass",
    },
    "import in try": {
        "stage.py": "try:\n from fast import f\nexcept ImportError:\n from shop.a import f\n"
        "def run(): f()",
        "a.py": "def f(): pass",
    },
    "import in with": {
        "stage.py": "import contextlib\nwith contextlib.suppress(ImportError):\n"
        " from shop.a import f\ndef run(): f()",
        "a.py": "def f(): pass",
    },
    "chained, renamed re-export": {
        "stage.py": "from shop.api import h\ndef run(): h()",
        "api/__init__.py": "from .inner import g as h",
        "api/inner/__init__.py": "from ...a import f as g",
        "a.py": "def f(): pass",
    },
    "star import": {
        "stage.py": "from shop.a import *\ndef run(): f()",
        "a.py": "def f(): pass",
    },
    "star import of a star import": {
        "stage.py": "from shop.b import *\ndef run(): f()",
        "b.py": "from shop.a import *",
        "a.py": "def f(): pass",
    },
    "star import with __all__": {
        "stage.py": "from shop.a import *\ndef run(): _g()",
        "a.py": "__all__ = ['_g']\ndef f(): pass\ndef _g(): f()",
    },
    "circular imports and calls": {
        "stage.py": "from shop import a\ndef run(): a.g()\ndef back(): run()",
        "a.py": "from shop import stage\ndef g(): stage.back(); f()\ndef f(): g()",
    },
    "module as a value": {
        "stage.py": "from shop import a\ndef run(name): return getattr(a, name)",
        "a.py": "def f(): pass",
    },
    "package as a value": {
        "stage.py": "import pkgutil\nimport shop.sub\n"
        "def run(): return list(pkgutil.iter_modules(shop.sub.__path__))",
        "sub/__init__.py": "",
        "sub/a.py": "def f(): pass",
    },
    "module's dictionary": {
        "stage.py": "from shop import a\ndef run(name): return a.__dict__[name]",
        "a.py": "def f(): pass",
    },
    "name imported by a module that is used as a value": {
        "stage.py": "from shop import b\ndef run(name): return vars(b)[name]",
        "b.py": "from shop.a import f",
        "a.py": "def f(): pass",
    },
    "import_module": {
        "stage.py": "import importlib\ndef run(): return importlib.import_module('shop.a')",
        "a.py": "def f(): pass",
    },
    "import_module under another name, relative": {
        "stage.py": "from importlib import import_module\n"
        "def run(): return import_module('.a', __package__)",
        "a.py": "def f(): pass",
    },
    "__import__": {
        "stage.py": "def run(): return __import__('shop.a')",
        "a.py": "def f(): pass",
    },
    "own function that is called import_module": {
        "stage.py": "from shop.a import import_module\ndef run(): return import_module('os')",
        "a.py": "def import_module(name): return f\ndef f(): pass",
    },
    "import_module of a computed name": {
        "stage.py": "import importlib as i\ndef run(n): return i.import_module(n)\ndef f(): pass",
    },
    "globals": {"stage.py": "def run(name): return globals()[name]\ndef f(): pass"},
    "eval": {"stage.py": "def run(text): return eval(text)\ndef f(): pass"},
    "vars of the module": {"stage.py": "def f(): pass\nT = vars()\ndef run(name): return T[name]"},
    "sys.modules": {
        "stage.py": "import sys\ndef run(n): return getattr(sys.modules[__name__], n)\n"
        "def f(): pass",
    },
    "name in a string": {
        "stage.py": "WHERE = 'shop.a:f'\ndef run(load): return load(WHERE)",
        "a.py": "def f(): pass",
    },
    "lazy export": {
        "stage.py": "import shop\ndef run(): shop.thing()",
        "__init__.py": "def __getattr__(name):\n from shop.a import f\n return f",
        "a.py": "def f(): pass",
    },
    "registry: decorator": {
        "stage.py": "from shop.a import REGISTRY, add\nimport shop.b\n"
        "def run(name): return REGISTRY[name]()",
        "a.py": "REGISTRY = {}\ndef add(g):\n REGISTRY[g.__name__] = g\n return g",
        "b.py": "from shop.a import add\n@add\ndef f(): pass",
    },
    "registry: method as a decorator": {
        "stage.py": "from shop.a import registry\ndef run(): return registry.all()\n"
        "@registry.add\ndef f(): pass",
        "a.py": "class Registry:\n def add(self, g): return g\nregistry = Registry()",
    },
    "registry: call": {
        "stage.py": "from shop.a import REGISTRY, add\ndef run(name): REGISTRY[name]()\n"
        "def f(): pass\nadd(f)",
        "a.py": "REGISTRY = {}\ndef add(g): REGISTRY[g.__name__] = g",
    },
    "registry: assigned call": {
        "stage.py": "from shop.a import REGISTRY, add\ndef run(name): REGISTRY[name]()\n"
        "def f(): pass\n_done = add(f)",
        "a.py": "REGISTRY = {}\ndef add(g): REGISTRY[g.__name__] = g",
    },
    "registry: subclasses": {
        "stage.py": "from shop.a import Base\ndef run(): return Base.known\nclass f(Base): pass",
        "a.py": "class Base:\n known = []\n def __init_subclass__(cls): Base.known.append(cls)",
    },
    "registry: __subclasses__": {
        "stage.py": "from shop.a import Base\ndef run(): return Base.__subclasses__()\n"
        "class f(Base): pass",
        "a.py": "class Base: pass",
    },
    "single dispatch": {
        "stage.py": "import functools\n@functools.singledispatch\ndef run(x): pass\n"
        "@run.register\ndef f(x: int): pass",
    },
    "table: item": {
        "stage.py": "T = {}\ndef run(name): T[name]()\ndef f(): pass\nT['f'] = f",
    },
    "table: item, from another module": {
        "stage.py": "from shop.a import T\nimport shop.b\ndef run(name): T[name]()",
        "a.py": "T = {}",
        "b.py": "from shop.a import T\ndef f(): pass\nT['f'] = f",
    },
    "table: update": {
        "stage.py": "T = {}\ndef run(name): T[name]()\ndef f(): pass\nT.update(f=f)",
    },
    "table: append in a loop": {
        "stage.py": "T = []\ndef run(): T[0]()\ndef f(): pass\nfor g in (f,):\n T.append(g)",
    },
    "table: +=": {
        "stage.py": "T = []\ndef run(): T[0]()\ndef f(): pass\nT += [f]",
    },
    "attribute of another module": {
        "stage.py": "import shop.b\nimport json\ndef run(): json.loads('')",
        "b.py": "import json\ndef f(): pass\njson.loads = f",
    },
    "condition": {
        "stage.py": "from shop.a import f\nif f():\n def g(): pass\nelse:\n def g(): return 1\n"
        "def run(): g()",
        "a.py": "def f(): pass",
    },
    "second definition": {
        "stage.py": "from shop.a import f\ndef g(): pass\ng = f(g)\ndef run(): g()",
        "a.py": "def f(g): return g",
    },
    "tuple target, walrus": {
        "stage.py": "from shop.a import f\nA, (B, *C) = (x := f())\nD = x\ndef run(): B, D",
        "a.py": "def f(): return 1, (2, 3)",
    },
    "work on import": {
        "stage.py": "import shop.a\ndef run(): pass",
        "a.py": "import torch\ndef f(): return 1\ntorch.set_num_threads(f())",
    },
    "work of a package on import": {
        "sub/__init__.py": "from shop.a import f\nfor x in range(3):\n f(x)",
        "sub/b.py": "def g(): pass",
        "stage.py": "from shop.sub.b import g\ndef run(): g()",
        "a.py": "def f(x): print(x)",
    },
}


def _with_f_changed(files: Files) -> tuple[str, str, str]:
    for name, text in files.items():
        for kind in ("def f(", "class f", "def import_module("):
            if kind in text:
                return name, kind, f"@staticmethod\n{kind}"
    name = next(name for name, text in files.items() if "f = 1" in text)
    return name, "f = 1", "f = 2"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_a_definition_is_found(shop: Package, way: str) -> None:
    shop.write(WAYS[way])
    before = shop.take()
    shop.edit(*_with_f_changed(WAYS[way]))
    assert shop.take().digest != before.digest


# What the names in a function stand for, with the function's own text unchanged.
MEANINGS: dict[str, tuple[Files, str, str, str]] = {
    "two functions change names": (
        {
            "stage.py": "from shop.a import low as x, high as y\ndef run(): return x() - y()",
            "a.py": "def low(): return 1\ndef high(): return 2",
        },
        "stage.py", "low as x, high as y", "high as x, low as y",
    ),
    "a re-export changes, both functions in use": (
        {
            "stage.py": "from shop.a import f\nfrom shop import b, c\ndef run(): b.g(); c.g(); f()",
            "a.py": "from shop.b import g as f",
            "b.py": "def g(): return 1",
            "c.py": "def g(): return 2",
        },
        "a.py", "from shop.b", "from shop.c",
    ),
    "another library's function": (
        {"stage.py": "from math import floor as whole\ndef run(x): return whole(x)"},
        "stage.py", "floor", "ceil",
    ),
    "another library": (
        {"stage.py": "import json as format\ndef run(x): return format.dumps(x)"},
        "stage.py", "json", "pickle",
    ),
    "star import of another library": (
        {"stage.py": "from math import *\ndef run(x): return sqrt(x)"},
        "stage.py", "math", "cmath",
    ),
    "__all__ loses a name": (
        {
            "stage.py": "from shop.a import *\nfrom shop.b import *\nfrom shop import b\n"
            "def run(): f(); b.f()",
            "a.py": "def f(): return 1",
            "b.py": "__all__ = ['f']\ndef f(): return 2",
        },
        "b.py", "['f']", "[]",
    ),
    "the later import wins": (
        {
            "stage.py": "from shop.a import f\nfrom shop.b import f\ndef run(): f()",
            "a.py": "def f(): return 1",
            "b.py": "def f(): return 2",
        },
        "stage.py", "from shop.a import f\nfrom shop.b import f",
        "from shop.b import f\nfrom shop.a import f",
    ),
    "a builtin is shadowed": (
        {"stage.py": "def run(x): return len(x)"},
        "stage.py", "def run", "def len(x): return 0\ndef run",
    ),
    "a value is taken before it changes": (
        {"stage.py": "A = 1\nB = A\nA = 2\ndef run(): return A, B"},
        "stage.py", "B = A\nA = 2", "A = 2\nB = A",
    ),
    "a value is taken before a call": (
        {"stage.py": "import random\nrandom.seed(1)\nA = random.random()\ndef run(): return A"},
        "stage.py", "random.seed(1)\nA = random.random()", "A = random.random()\nrandom.seed(1)",
    ),
    "a condition that names TYPE_CHECKING beside something else": (
        {
            "stage.py": "import typing\nfrom shop.a import FLAG\n"
            "if FLAG or typing.TYPE_CHECKING:\n from math import floor as whole\n"
            "else:\n from math import ceil as whole\ndef run(x): return whole(x)",
            "a.py": "FLAG = False",
        },
        "a.py", "False", "True",
    ),
    "a condition over an import for its effect": (
        {
            "stage.py": "from shop.a import FLAG\nif FLAG:\n import patches\ndef run(): 0",
            "a.py": "FLAG = False",
        },
        "a.py", "False", "True",
    ),
    "a TYPE_CHECKING that is not typing's": (
        {
            "stage.py": "from math import floor as whole\nTYPE_CHECKING = True\n"
            "if TYPE_CHECKING:\n from shop.a import f\ndef run(x): return f(x)",
            "a.py": "def f(x): return 1\nprint(1)",
        },
        "a.py", "print(1)", "print(2)",
    ),
    "a module that exec imports": (
        {
            "stage.py": "def run(): exec('from shop.a import f')",
            "a.py": "from shop.b import f",
            "b.py": "def f(): return 1",
        },
        "b.py", "1", "2",
    ),
    "an imported module that eval uses": (
        {
            "stage.py": "from shop import rules\ndef run(text): return eval('rules.f(text)')",
            "rules.py": "def f(text): return g(text)\ndef g(text): return 1",
        },
        "rules.py", "1", "2",
    ),
    "an imported module in globals()": (
        {
            "stage.py": "from shop import rules\ndef run(t): return globals()['rules'].f(t)",
            "rules.py": "def f(text): return 1",
        },
        "rules.py", "1", "2",
    ),
    "a module in sys.modules": (
        {
            "stage.py": "import sys\nimport shop.rules\n"
            "def run(t): return sys.modules['shop' + '.rules'].f(t)",
            "rules.py": "def f(text): return 1",
        },
        "rules.py", "1", "2",
    ),
    "sys imported in a function": (
        {
            "stage.py": "def run(t):\n import sys\n return sys.modules[t].f(t)",
            "rules.py": "def f(text): return 1",
        },
        "rules.py", "1", "2",
    ),
    "the globals of a function": (
        {
            "stage.py": "from shop.a import f\ndef run(t): return f.__globals__[t]()",
            "a.py": "from shop.b import g\ndef f(): 0",
            "b.py": "def g(): return 1",
        },
        "b.py", "1", "2",
    ),
    "the globals of a function, by getattr": (
        {
            "stage.py": "from shop.a import f\ndef run(t): return getattr(f, '__globals__')[t]()",
            "a.py": "def f(): 0\ndef g(): return 1",
        },
        "a.py", "1", "2",
    ),
    "inspect.getmodule": (
        {
            "stage.py": "import inspect\nfrom shop.a import f\n"
            "def run(t): return getattr(inspect.getmodule(f), t)()",
            "a.py": "def f(): 0\ndef g(): return 1",
        },
        "a.py", "1", "2",
    ),
    "inspect.getsource": (
        {
            "stage.py": "import inspect\nfrom shop.a import f\n"
            "def run(): return inspect.getsource(inspect.getmodule(f))",
            "a.py": "def f(): 0\ndef g(): return 1",
        },
        "a.py", "1", "2",
    ),
    "another process": (
        {
            "stage.py": "import subprocess\n"
            "def run(): subprocess.run(['python', '-c', 'from shop.a import f; f()'])",
            "a.py": "def f(): return 1",
        },
        "a.py", "1", "2",
    ),
    "a module by a computed name": (
        {
            "stage.py": "from importlib import import_module\n"
            "def run(n): return import_module(f'shop.{n}').f()",
            "a.py": "def f(): return 1",
        },
        "a.py", "1", "2",
    ),
    "an effect in an assignment": (
        {"stage.py": "import torch\n_ = torch.set_num_threads(1)\ndef run(): 0"},
        "stage.py", "1", "2",
    ),
    "an effect in a class": (
        {"stage.py": "import torch\nclass A:\n _ = torch.set_num_threads(1)\ndef run(): 0"},
        "stage.py", "1", "2",
    ),
    "a name that a default binds": (
        {"stage.py": "def f(x=(Y := 1)): 0\ndef run(): return Y"},
        "stage.py", "1", "2",
    ),
    "instances that an enumeration makes": (
        {
            "stage.py": "import enum\nALL = []\nclass A(enum.Enum):\n B = 1\n"
            " def __init__(self, x): ALL.append(x)\ndef run(): return ALL",
        },
        "stage.py", "B = 1", "B = 2",
    ),
    "a log that is not a logger": (
        {
            "stage.py": "import logging\nlog = logging.getLogger(__name__)\n"
            "def run(log):\n log.info('one')\n return log",
        },
        "stage.py", "one", "two",
    ),
    "a log that the code listens to": (
        {
            "stage.py": "import logging\nlog = logging.getLogger(__name__)\n"
            "def run(x):\n log.addHandler(x)\n log.info('one')",
        },
        "stage.py", "one", "two",
    ),
    "a level of the log": (
        {
            "stage.py": "import logging\nlog = logging.getLogger(__name__)\n"
            "def run(x): log.setLevel('INFO'); log.info('one')",
        },
        "stage.py", "INFO", "DEBUG",
    ),
    "a description that is no setting's": (
        {
            "stage.py": "from pydantic import Field\nfrom shop.a import Part\n"
            "def run(): return Part(description='one')",
            "a.py": "class Part: pass",
        },
        "stage.py", "one", "two",
    ),
    "a description by a function that is called Field": (
        {
            "stage.py": "from shop.a import Field\nclass A:\n x: int = Field(description='one')\n"
            "def run(): return A.x",
            "a.py": "def Field(description): return description",
        },
        "stage.py", "one", "two",
    ),
    "a description that is read": (
        {
            "stage.py": "from pydantic import Field\nclass A:\n x: int = Field(description='one')\n"
            "def run(): return A.model_fields['x'].description",
        },
        "stage.py", "one", "two",
    ),
    "a field by a function that is called operational": (
        {
            "stage.py": "from shop.a import operational\nclass A:\n x: int = operational(1)\n"
            "def run(): return A.x",
            "a.py": "def operational(x): return x",
        },
        "stage.py", "(1)", "(2)",
    ),
    "an effect in an annotation": (
        {"stage.py": "import torch\ndef f(x: torch.set_num_threads(1)): 0\ndef run(): 0"},
        "stage.py", "(1)", "(2)",
    ),
    "an effect of making an instance": (
        {
            "stage.py": "import shop.b\ndef run(): 0",
            "a.py": "class A:\n def __init__(self, x): print(x)",
            "b.py": "from shop.a import A\n_ = A(1)",
        },
        "a.py", "print(x)", "print(-x)",
    ),
    "an operator of an instance": (
        {
            "stage.py": "from shop.a import ALL\nimport shop.b\ndef run(): return ALL.known",
            "a.py": "class A:\n def __lshift__(self, f): self.known = f\nALL = A()",
            "b.py": "from shop.a import ALL\ndef f(): return 1\n_ = ALL << f",
        },
        "b.py", "1", "2",
    ),
    "a subclass of a foreign class that keeps its subclasses": (
        {
            "stage.py": "import yaml\nimport shop.b\ndef run(x): return yaml.unsafe_load(x)",
            "b.py": "import yaml\nclass A(yaml.YAMLObject):\n tag = 1",
        },
        "b.py", "1", "2",
    ),
    "a name of a package with lazy exports": (
        {
            "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            " from shop.a import f\ndef __getattr__(name):\n from shop.b import f\n return f",
            "stage.py": "from shop import f\ndef run(): f()",
            "a.py": "def f(): return 1",
            "b.py": "def f(): return 1",
        },
        "b.py", "1", "2",
    ),
    "a hook that is assigned": (
        {
            "stage.py": "from shop.a import Base\nimport shop.b\ndef run(): return Base.known",
            "a.py": "def hook(cls): Base.known.append(cls)\n"
            "class Base:\n known = []\n __init_subclass__ = classmethod(hook)",
            "b.py": "from shop.a import Base\nclass A(Base): x = 1",
        },
        "b.py", "1", "2",
    ),
    "a change by a method of a builtin class": (
        {"stage.py": "T = {}\n_ = dict.update(T, a=1)\ndef run(): return T"},
        "stage.py", "a=1", "a=2",
    ),
    "a validator behind a name": (
        {
            "stage.py": "import shop.b\nfrom shop.a import ALL\ndef run(): return ALL",
            "a.py": "from typing import Annotated\nfrom pydantic import AfterValidator, BaseModel\n"
            "ALL = []\nCount = Annotated[int, AfterValidator(ALL.append)]\n"
            "class A(BaseModel):\n x: Count",
            "b.py": "from shop.a import A\n_ = A(x=1)",
        },
        "b.py", "1", "2",
    ),
    "a comment that is read": (
        {
            "stage.py": "import inspect\nfrom shop import a\n"
            "def run(): return inspect.getsource(a)",
            "a.py": "X = 1  # one",
        },
        "a.py", "one", "two",
    ),
    "a log that goes to a file": (
        {
            "stage.py": "import logging\nlog = logging.getLogger(__name__)\n"
            "def run(x):\n logging.basicConfig(filename=x)\n log.info('one')",
        },
        "stage.py", "one", "two",
    ),
    "a source file that is read": (
        {
            "stage.py": "from pathlib import Path\nPAGE = Path(__file__).parent / 'a.py'\n"
            "def run(): return PAGE.read_text()",
            "a.py": "X = 1  # one",
        },
        "a.py", "one", "two",
    ),
    "a path by a function that is called Path": (
        {
            "stage.py": "from shop.a import Path\nPAGE = Path(__file__).parent / 'a.txt'\n"
            "def run(): return PAGE.read_text()",
            "a.py": "class Path:\n parent = 'other'",
            "b.txt": "one",
        },
        "b.txt", "one", "two",
    ),
    "docstrings that are read": (
        {"stage.py": "def run(): return f.__doc__\ndef f():\n '''One.'''"},
        "stage.py", "One", "Two",
    ),
    "a module's docstring that is read": (
        {"stage.py": "'''One.'''\ndef run(): return __doc__"},
        "stage.py", "One", "Two",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANINGS)
def test_what_a_name_stands_for_counts(shop: Package, case: str) -> None:
    files, *edit = MEANINGS[case]
    shop.write(files)
    before = shop.take()
    shop.edit(*edit)
    assert shop.take().digest != before.digest


# Neighbours of reached definitions, which must not count themselves.
SPARED: dict[str, tuple[Files, set[str]]] = {
    "module used by attribute": (
        {
            "stage.py": "from shop import a\ndef run(): return a.f(), a.__name__",
            "a.py": "def f(): 0\ndef g(): 1",
        },
        {"stage.py:run", "a.py:f"},
    ),
    "a module below a package with lazy exports": (
        {
            "__init__.py": "def __getattr__(name):\n raise AttributeError(name)",
            "stage.py": "from shop.a import f\ndef run(): return f()",
            "a.py": "def f(): 0",
        },
        {"stage.py:run", "a.py:f"},
    ),
    "what only makes values on import": (
        {
            "stage.py": "import re\nfrom dataclasses import dataclass\nfrom shop.a import Size\n"
            "WORD = re.compile('a')\nSIZE = Size()\nLETTERS = frozenset('abc')\n"
            "@dataclass(frozen=True)\nclass Point:\n x: int = len('a')\ndef run(): return SIZE",
            "a.py": "class Size:\n x = 1\n @property\n def y(self): return self.x",
        },
        {"stage.py:run", "stage.py:SIZE", "a.py:Size"},
    ),
    "subclasses of a plain base": (
        {"stage.py": "class Base: pass\nclass A(Base): pass\nclass B(Base): pass\ndef run(): A()"},
        {"stage.py:run", "stage.py:A", "stage.py:Base"},
    ),
    "words in strings": (
        {
            "stage.py": "from typing import Literal\ndef right(): pass\n"
            "def run(x: Literal['left', 'up']): return 'shop', 'right', 'shop.log'"
        },
        {"stage.py:run"},
    ),
}


@pytest.mark.parametrize("case", SPARED)
def test_little_counts_in_vain(shop: Package, case: str) -> None:
    files, names = SPARED[case]
    shop.write(files)
    assert shop.names() == names


def test_a_module_counts_whole_when_it_is_a_value(shop: Package) -> None:
    shop.write(
        {
            "stage.py": "from shop import a\ndef run(name): return getattr(a, name)",
            "a.py": "import os\nimport re\nfrom shop.b import g\ndef f(): return g()",
            "b.py": "def g(): pass\ndef h(): pass",
        }
    )
    assert shop.names() == {"stage.py:run", "a.py:*", "b.py:g"}
    before = shop.take()
    shop.edit("a.py", "def f()", "def new(): pass\ndef f()")
    assert shop.take() != before


@pytest.mark.parametrize(
    "code",
    [
        "PAGE = Path(__file__).parent / 'templates' / 'page.html'\ndef run(): PAGE.read_text()",
        "def run(): return open('templates/page.html')",
        "HERE = 'templates'\ndef run(): return open(HERE + '/page.html')",
        "HERE = 'templates'\ndef run(): return open(f'{HERE}/page.html')",
        "def run(glob): return glob('templates/*.html')",
        "def run(files): return files('shop').joinpath('templates', 'page.html')",
        "def run(x: str = 'templates/page.html'): pass",
    ],
)
def test_a_data_file_counts(shop: Package, code: str) -> None:
    shop.write(
        {
            "stage.py": f"from pathlib import Path\n{code}",
            "templates/page.html": "<p>",
            "other.txt": "",
        }
    )
    before = shop.take()
    assert {name for name in before.definitions if ":" not in name} == {"shop/templates/page.html"}
    shop.write({"other.txt": "b"})
    assert shop.take() == before
    shop.write({"templates/page.html": "<q>"})
    assert shop.take() != before


@pytest.mark.parametrize(
    "left",
    [
        "__pycache__/stage.cpython-311.pyc",
        "__pycache__/stage.cpython-311.pyc.140213",  # while it is written, or when that was killed
        "templates/__pycache__/page.cpython-311.pyc.140213",
        ".stage.py.swp",
        "templates/.page.html.swp",
        "templates/.ipynb_checkpoints/page.html",
        "templates/page.html~",
    ],
)
@pytest.mark.parametrize(
    "code",
    [
        "def run(): return open('templates/page.html')",
        "def run(code): return eval(code)",
        "import shop\ndef run(): return shop",
    ],
)
def test_what_python_and_editors_leave_does_not_count(shop: Package, left: str, code: str) -> None:
    shop.write({"stage.py": code, "templates/page.html": "<p>"})
    before = shop.take()
    shop.write({left: "left"})
    assert shop.take() == before


@pytest.mark.parametrize(
    "code",
    [
        "def run(name): return Path(__file__).parent / name",
        "def run(): return Path(__file__).parent / 'templates/page.html'",
        "HERE = os.path.dirname(__file__)\ndef run(name): return open(HERE + '/' + name)",
        "HERE = Path(__file__).parent / 'templates'\ndef run(name): return HERE / name",
        "PAGE = Path(__file__).parent / 'a.html'\ndef run(name): return PAGE.with_name(name)",
        "PAGE = Path(__file__).parent / 'a.html'\ndef run(name): return os.path.dirname(PAGE)",
        "import shop\ndef run(name): return os.path.join(shop.__file__, name)",
        "from importlib import resources\ndef run(n): return resources.files(__package__) / n",
        "from importlib.resources import files\ndef run(n): return files('shop') / n",
        "from jinja2 import PackageLoader\ndef run(): return PackageLoader('shop')",
    ],
)
def test_a_computed_file_name_counts_every_data_file(shop: Package, code: str) -> None:
    files = {"templates/page.html": "<p>", "other.html": "", "words.lst": ""}
    shop.write({"stage.py": f"import os\nfrom pathlib import Path\n{code}", **files})
    assert files.keys() <= shop.names()


def test_a_file_that_a_template_includes_counts(shop: Package) -> None:
    shop.write(
        {
            "stage.py": "from pathlib import Path\n"
            "PAGE = Path(__file__).parent / 'page.html'\ndef run(): return PAGE.read_text()",
            "page.html": "{% include 'foot.html' %}",
            "foot.html": "{% include 'date.html' %}",
            "date.html": "",
            "other.html": "",
        }
    )
    assert {"page.html", "foot.html", "date.html"} == {
        n for n in shop.names() if n.endswith(".html")
    }


def test_a_data_file_beside_a_module_further_down_counts(shop: Package) -> None:
    shop.write(
        {
            "stage.py": "from shop.sub.a import DATA, ROOT\ndef run(): return DATA, ROOT",
            "sub/a.py": "DATA = 'more.txt', '../words.txt'\nROOT = '../../root.txt'",
            "sub/more.txt": "a",
            "words.txt": "b",
            "less.txt": "b",
            "../root.txt": "c",
        }
    )
    assert {name for name in shop.take().definitions if name.endswith(".txt")} == {
        "shop/sub/more.txt",
        "shop/words.txt",
        "root.txt",
    }


def test_conditional_definitions_all_count(shop: Package) -> None:
    shop.write(
        {
            "stage.py": "import sys\nfrom shop.a import low, high\n"
            "if sys.platform == 'win32':\n def f(): return low()\n"
            "else:\n def f(): return high()\n"
            "try:\n import fast\nexcept ImportError:\n fast = None\n"
            "def run(): return f(), fast",
            "a.py": "def low(): 0\ndef high(): 1",
        }
    )
    assert shop.names() == {
        "stage.py:<module>", "stage.py:run", "stage.py:f", "stage.py:fast", "a.py:low", "a.py:high",
    }  # fmt: skip
    before = shop.take()
    shop.edit("stage.py", "fast = None", "fast = 0")
    after = shop.take()
    assert {n for n, d in after.definitions.items() if before.definitions[n] != d} == {
        "shop/stage.py:<module>",
        "shop/stage.py:fast",
    }


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("shop.nothing:run", "no module 'shop.nothing'"),
        ("shop.stage:runs", "shop/stage.py defines no runs"),
        ("shop.stage:Job.run", "shop/stage.py defines no Job.run"),
        ("shop.stage", "shop/stage.py defines no function"),
        ("other.stage:run", "no module 'other.stage' in shop"),
        ("shop.broken:run", "shop.broken: its source cannot be read"),
    ],
)
def test_a_missing_function_is_an_error(shop: Package, function: str, message: str) -> None:
    shop.write(
        {
            "stage.py": "def run(): pass\nclass Job:\n def run(self): pass",
            "broken.py": "def run(:",
        }
    )
    with pytest.raises(StageError, match=message):
        shop.take(function)
    with pytest.raises(StageError, match="no source of a package"):
        fingerprint("nowhere_to_be_found:run", ["nowhere_to_be_found"])


def test_nothing_is_imported_or_run(shop: Package) -> None:
    shop.write({"__init__.py": "raise SystemExit", "stage.py": "raise SystemExit\ndef run(): pass"})
    assert shop.names() == {"__init__.py:*", "stage.py:*"}
    assert "shop" not in sys.modules


def test_the_digest_is_the_same_in_every_process(shop: Package) -> None:
    shop.write(WAYS["registry: decorator"])
    code = (
        "from tasks.fingerprint.reach import fingerprint as f; print(f('shop.stage:run', ['shop']))"
    )
    paths = os.pathsep.join([str(shop.root), str(Path(__file__).parents[3])])
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {str(shop.take())}


def _reformatted(text: str, rng: random.Random) -> str:
    """Put comments and blank lines between lines, and spaces and comments at their ends."""
    lines = []
    for line in text.splitlines():
        for _ in range(rng.randrange(3)):
            lines.append(rng.choice(["", "# word", "        # deep", "  "]))
        lines.append(line + rng.choice(["", "  ", "  # why", "\t#"]))
    return "\n".join(lines) + "\n" * rng.randrange(4)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_white_space_and_comments_never_count(shop: Package, seed: int) -> None:
    shop.write(BASE)
    before = shop.take()
    rng = random.Random(seed)
    shop.write({name: _reformatted(text, rng) for name, text in BASE.items()})
    assert shop.take() == before


SMALL_PROJECT: Files = {
    "__init__.py": "from collections.abc import Callable\nHOOKS: list[Callable[[], int]] = []",
    "stage.py": """
from live_shop import parts, registry
from live_shop.shapes import make
from live_shop.plugins import *

def run():
    def inner(value):
        return parts.double(value)
    total = sum(map(inner, [1, 2]))
    total += make("square").area() + len(list(parts.numbers()))
    with parts.opened() as number:
        total += number
    total += registry.call("plugin") + getattr(parts, "hid" + "den")()
    class Local(parts.Counter):
        pass
    return total + Local().count + named()
""",
    "parts.py": """
import contextlib
import functools

def double(x):
    return 2 * x

def numbers():
    yield from (n for n in range(3))

@contextlib.contextmanager
def opened():
    yield helper()

@functools.cache
def helper():
    return 1

def hidden():
    return 7

class Counter:
    def __init__(self):
        self._count = 1

    @property
    def count(self):
        return self._count

def unused():
    return 0
""",
    "registry.py": """
PLUGINS = {}

def add(function):
    PLUGINS[function.__name__] = function
    return function

def call(name):
    return PLUGINS[name]()
""",
    "plugins.py": """
from live_shop.registry import add

@add
def plugin():
    return _behind()

def _behind():
    return 3

def named():
    return 4

def unused():
    return 0
""",
    "shapes.py": """
class Shape:
    known = {}

    def __init_subclass__(cls):
        Shape.known[cls.__name__.lower()] = cls

    def area(self):
        return self.side() ** 2

class Square(Shape):
    def side(self):
        return 2

def make(name):
    return Shape.known[name]()
""",
}


def _executed(function: Callable[[], Any], folder: Path) -> set[str]:
    """Run a function and return ``<file>:<top-level name>`` of all code that ran in a folder."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        codes.add(frame.f_code)

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    inside = [code for code in codes if Path(code.co_filename).is_relative_to(folder)]
    return {
        f"{Path(code.co_filename).relative_to(folder.parent).as_posix()}:"
        + code.co_qualname.partition(".")[0]
        for code in inside
        if not code.co_qualname.startswith("<")
    }


def test_all_that_runs_is_in_the_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "live_shop"
    folder.mkdir()
    for name, text in SMALL_PROJECT.items():
        (folder / name).write_text(text)
    definitions = fingerprint("live_shop.stage:run", ["live_shop"]).definitions
    try:
        run = importlib.import_module("live_shop.stage").run
        executed = _executed(run, folder)
    finally:
        for name in [name for name in sys.modules if name.startswith("live_shop")]:
            del sys.modules[name]
    assert len(executed) >= 10
    whole = {name.removesuffix(":*") for name in definitions if name.endswith(":*")}
    assert {name for name in executed if name.partition(":")[0] not in whole} <= {*definitions}
    assert "live_shop/plugins.py:unused" not in definitions
