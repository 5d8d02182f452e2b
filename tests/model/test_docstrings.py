"""Docstrings are what a learner reads: none is lost where Python leaves them out."""

import json
import subprocess
import sys
from pathlib import Path

from model.kernel.all_procedures import all_procedures
from model.text.docstrings import docstring, written_in

ROOT = Path(__file__).parent.parent.parent
TOLD = """
import json
from model.kernel.all_procedures import all_procedures
from model.kernel.drivers.driver_op import PERFORMED, meaning_of
from model.text.docstrings import docstring
kinds = all_procedures().values()
told = {f"{kind.__module__}.{kind.__name__}": [docstring(kind), *(micro.doc for micro in kind.steps)] for kind in kinds}
print(json.dumps([told, {word: meaning_of(word) for word in PERFORMED}]))
"""


def told_with(*options: str) -> object:
    done = subprocess.run([sys.executable, *options, "-c", TOLD], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_python_without_docstrings_tells_the_same() -> None:
    assert told_with("-OO") == told_with()


def test_what_is_written_is_what_python_has() -> None:
    ours = [kind for kind in all_procedures().values() if kind.__module__.startswith("model.")]  # tests make others
    for kind in ours:
        for micro in kind.steps:
            body = micro.body
            assert written_in(body.__module__)[body.__qualname__].split() == docstring(body).split()
