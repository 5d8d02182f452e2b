"""What an exhibit of the museum is made of, once it is loaded: a real bug, as it was and as mended.

`lessons.file.museum` makes them from files.
"""

from typing import Annotated, Final, Literal, get_args

import msgspec

from lessons.file.schema import Slug, Strict, Text

Mechanism = Literal[
    "copy-on-write",
    "stale translation",
    "page not kept",
    "reference not asked for",
    "permission not asked for",
    "dirty tracking",
    "bounds and counters",
]
"""What went wrong: who gets the private copy; a TLB, or a device, that remembers; a page that nobody held; an owner who
did not look whether somebody held it; an access that nobody had allowed; a filesystem that was not told; an index or a
count that ran over."""

Culprit = Literal["get_user_pages", "mm core", "fork", "filesystem", "KVM", "driver", "GPU driver", "user space"]
"""Whose mistake it was."""

MECHANISMS: Final[tuple[Mechanism, ...]] = get_args(Mechanism)
CULPRITS: Final[tuple[Culprit, ...]] = get_args(Culprit)

Shown = Literal["both", "before", "none"]
"""What the machine can play: both ways, only as it was, or nothing of it."""

Commit = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{12}$", description="the first 12 digits of a commit")]
Cve = Annotated[str, msgspec.Meta(pattern=r"^CVE-[0-9]{4}-[0-9]{4,7}$", description="CVE-YEAR-NUMBER")]


class Fix(Strict, frozen=True, kw_only=True):
    """A commit that mended the bug, or a part of it."""

    title: Text
    """Its subject, or what was changed where it is no commit of Linux."""
    commit: Commit | Literal[""] = ""
    version: str = ""
    """The first release that has it."""


class ExhibitHeader(Strict, frozen=True, kw_only=True):
    """The front matter of an exhibit's file."""

    format: Literal[1]
    id: Slug
    """Also the file's name."""
    title: Text
    year: Annotated[int, msgspec.Meta(ge=1991, le=2100)]
    """When it was mended, or made public."""
    cve: tuple[Cve, ...] = ()
    mechanism: Mechanism
    culprit: Culprit
    affected: Text
    """Which versions had it."""
    fix: tuple[Fix, ...] = ()
    """Empty: it has not been mended."""
    found: Text
    """Who found it, and when, as far as that was looked up."""
    symptom: Text
    """What somebody saw in the field."""
    rule: Text
    """What it teaches, in one sentence."""
    undo: tuple[Slug, ...] = ()
    """The mends that `scene` is played without (`set as-it-was`), to show it as it was."""
    breaks: str = ""
    """The rule of the machine that it broke, or the text of a property of its scene."""
    remains: tuple[Slug, ...] = ()
    """Rules that are still broken as mended, and meant to be: a kernel that refuses may warn of it (`splat`)."""
    lacks: str = ""
    """What the machine would need to play what it does not."""
    sources: tuple[Text, ...]
    """Where the facts above were looked up."""


class StepRemark(msgspec.Struct, frozen=True):
    """What the author says of one micro-step."""

    step: str
    """`procedure.step`."""
    text: str
    line: int


class SceneText(msgspec.Struct, frozen=True):
    """A scene as the file has it."""

    text: str
    line: int
    """Where its block opens; its first line is the next one."""


class Exhibit(msgspec.Struct, frozen=True, kw_only=True):
    """One bug of the museum."""

    file: str
    header: ExhibitHeader
    story: str
    """What happened, in Markdown."""
    before: SceneText | None = None
    """The scene as it was; None where the machine cannot play it."""
    after: SceneText | None = None
    """The same scene as mended."""
    remarks: tuple[StepRemark, ...] = ()

    @property
    def id(self) -> str:
        """Its stable name."""
        return self.header.id

    @property
    def shown(self) -> Shown:
        """What can be played of it."""
        if self.before is None:
            return "none"
        return "before" if self.after is None else "both"
