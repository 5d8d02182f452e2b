"""Every rule there is: whatever the modules of `model.invariants.rules` list in their `RULES`."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Final, TypeVar

from model.invariants import rules
from model.invariants.rule import (
    AccessRule,
    ChangeRule,
    FrameRule,
    LockRule,
    ReferenceRule,
    Rule,
    SplatRule,
    TableRule,
    TranslationRule,
)
from model.invariants.violation import SEVERITIES, Invariant
from model.memory.state import TABLES

R = TypeVar("R", bound=Rule)


def _found() -> list[Rule]:
    """All rules, the worst first, then by name. ValueError for one that is not declared as it must be."""
    found: dict[str, Rule] = {}
    tables = {table.name: table for table in TABLES}
    for module in iter_modules(rules.__path__):
        for rule in import_module(f"{rules.__name__}.{module.name}").RULES:
            name = rule.invariant.name
            if name in found:
                raise ValueError(f"model/invariants/rules/{module.name}.py: there is a rule `{name}` already")
            for table, fields in rule.reads.items():
                known = getattr(tables[table].value, "__struct_fields__", ()) if table in tables else None
                if known is None:
                    raise ValueError(f"rule `{name}` reads `{table}`, and a State has no such table")
                if strange := set(fields or ()) - set(known):
                    raise ValueError(f"rule `{name}` reads {sorted(strange)} of `{table}`, which has no such field")
            found[name] = rule
    return sorted(found.values(), key=lambda rule: (-SEVERITIES.index(rule.invariant.severity), rule.invariant.name))


RULES: Final = {rule.invariant.name: rule for rule in _found()}
"""By the invariant's name."""

INVARIANTS: Final[dict[str, Invariant]] = {name: rule.invariant for name, rule in RULES.items()}
"""All invariants by name, the worst first."""


def _of(kind: type[R]) -> tuple[R, ...]:
    return tuple(rule for rule in RULES.values() if isinstance(rule, kind))


FRAME_RULES: Final = {rule.invariant.name: rule for rule in _of(FrameRule)}
ACCESS_RULES: Final = _of(AccessRule)
CHANGE_RULES: Final = {
    table.name: tuple(rule for rule in _of(ChangeRule) if table.name in rule.watches) for table in TABLES
}
"""Table → the rules that judge its changes."""
REPLACED_RULES: Final = {
    table: tuple(rule for rule in _of(ChangeRule) if table in rule.replaced)
    for table in sorted({table for rule in _of(ChangeRule) for table in rule.replaced})
}
"""Table → the rules that judge only which entries take the place of others; no other tables."""

# A second rule about any of these needs a place of its own in `checker.BrokenPlaces`.
(REFERENCE_RULE,) = _of(ReferenceRule)
(TRANSLATION_RULE,) = _of(TranslationRule)
(LOCK_RULE,) = _of(LockRule)
(SPLAT_RULE,) = _of(SplatRule)
(TABLE_RULE,) = _of(TableRule)
