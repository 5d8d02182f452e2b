"""The trace (docs/script-contract.md): one JSON object a command."""

from typing import Literal

import msgspec

from model.memory.events import Refusal
from model.script.json_state import Json, change_picture, picture
from model.script.runner import Account, StepNote

Detail = Literal["full", "changes", "none"]
"""How much of the machine a trace line carries: all of it and its changes, only the changes, or neither."""


def trace_line(account: Account, detail: Detail = "changes") -> bytes:
    """The line of one command, without the newline."""
    line: dict[str, Json] = {
        "line": account.command.line,
        "command": account.command.text,
        "result": account.outcome.to_json() | _reason(account),
        "steps": [_step(note) for note in account.steps],
    }
    if detail != "none":
        line["changes"] = [change_picture(account.state, change) for change in account.changes]
    line["violations"] = [
        {
            "invariant": violation.invariant,
            "severity": violation.severity,
            "subjects": list(violation.subjects),
            "message": str(violation.message),
        }
        for violation in account.violations
    ]
    if account.properties:
        line["properties"] = [
            {
                "property": broken.property.text,
                "line": broken.property.line,
                "step": broken.step,
                "at": broken.at,
                "message": broken.message,
            }
            for broken in account.properties
        ]
    if detail == "full":
        line["state"] = picture(account.state)
    return msgspec.json.encode(line)


def _reason(account: Account) -> dict[str, Json]:
    """Which check refused the command, where one errno stands for several; the last word counts."""
    reasons = [event.reason for event in account.events if isinstance(event, Refusal)]
    return {"reason": reasons[-1]} if reasons else {}


def _step(note: StepNote) -> dict[str, Json]:
    return {"task": note.task, "procedure": note.procedure, "step": note.step, "source": note.source}
