"""A new file for the museum, written from a few answers; what its mend's entry tells is taken from there."""

import json
from collections.abc import Mapping
from typing import Final

from model.engine.mends import MENDS

ASKED: Final = ("undo", "title", "year", "mechanism", "culprit", "affected", "breaks", "symptom", "rule", "happened")
"""What has to be answered: as in the front matter, but what happened, which is the story, in three sentences."""
LOOKED_UP: Final = "not confirmed"
"""Until the author has looked up who found it."""


def draft(name: str, answers: Mapping[str, str], scene: str) -> str:
    """The file of an exhibit. Raises KeyError if there is no such mend.

    `answers` to all that is ASKED; `scene`: the script of the set-up with its `may` lines.
    """
    mend = MENDS[answers["undo"]]
    strings = {key: answers[key] for key in ("title", "mechanism", "culprit", "affected", "symptom", "rule", "breaks")}
    front = [
        "format = 1",
        f"id = {_quoted(name)}",
        f"year = {answers['year']}",
        f"cve = {_quoted([mend.cve] if mend.cve else [])}",
        *(f"{key} = {_quoted(text)}" for key, text in strings.items()),
        f"found = {_quoted(LOOKED_UP)}",
        f"undo = {_quoted([answers['undo']])}",
        f"sources = {_quoted([f'commit {mend.commit}'])}",
        "",
        "[[fix]]",
        f"commit = {_quoted(mend.commit)}",
        f"title = {_quoted(mend.title)}",
        f"version = {_quoted(mend.versions)}",
    ]
    return "\n".join(("+++", *front, "+++", "", answers["happened"].strip(), "", "~~~scene", scene.strip(), "~~~", ""))


def _quoted(value: str | list[str]) -> str:
    """As TOML writes it: its basic strings are JSON's."""
    return json.dumps(value, ensure_ascii=False)
