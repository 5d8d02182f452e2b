"""What a lesson is made of, once it is loaded: typed, frozen, free of Markdown.

A lesson is a row of items. Each has something to read and at most one thing to do: a prediction to make, commands
to play micro-step by micro-step, or a goal to reach. `lessons.file.loader` makes them from a file.
"""

from typing import Annotated, Final, Literal, get_args

import msgspec

FORMAT: Final = 1
"""The version of the lesson format that this program reads."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
Slug = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z][a-z0-9-]*$", description="small letters, digits and -, beginning with a letter"),
]

Part = Literal[
    "What is mapped",
    "Taking pages",
    "Pages that are not yours",
    "Buffers that move",
    "The argument of November 2022",
    "Bugs that happened",
]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
"""The parts of the course, in order."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record decoded from TOML: an unknown key is an error, not an extra."""


class FrontMatter(Strict, frozen=True, kw_only=True):
    """The front matter of a lesson file."""

    format: Literal[1]
    id: Slug
    """Stable for ever: progress is kept under it. Also the file's name."""
    title: Text
    part: Part
    order: Annotated[int, msgspec.Meta(ge=0)]
    """Place within the part."""
    minutes: Annotated[int, msgspec.Meta(ge=1, le=60)]
    summary: Text
    """One sentence for the list of lessons."""
    needs: tuple[Slug, ...] = ()
    """Lessons that should come first."""
    rule: Text
    """What was learnt, in one sentence."""
    read: tuple[Text, ...]
    """Kernel functions to read, as `file: function`."""
    recordings: tuple[Text, ...] = ()
    """Recordings of a real kernel that did the same."""


# -- predictions ---------------------------------------------------------------------------------


class WrongAnswer(Strict, frozen=True, kw_only=True, rename={"answer": "is"}):
    """A likely wrong answer, and the reply to the belief behind it."""

    answer: int | str
    """A number, a quantity, `yes`/`no`, or a place: whatever the prediction asks for."""
    reply: Text


class Question(Strict, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """A question that must be answered before the model shows what happens."""

    id: Slug
    """Unique in the lesson; the guess is kept under it."""
    ask: Text
    right: str = ""
    """What to say to the right answer, beyond that it is right."""
    reveal: Literal["after", "now"] = "after"
    """`after`: evaluated when the next `do` block has been played. `now`: evaluated in the state on the screen."""
    at: str = ""
    """A micro-step of that `do` block: it is evaluated as soon as this one has been made for the first time."""


class NumberQuestion(Question, frozen=True, kw_only=True, tag="number"):
    """Answered with a number; the truth is a quantity."""

    answer: Text
    wrong: tuple[WrongAnswer, ...]
    otherwise: Text
    """The reply to any other wrong number."""


class YesNoQuestion(Question, frozen=True, kw_only=True, tag="yes/no"):
    """Answered with yes or no; the truth is a condition."""

    answer: Text
    otherwise: Text
    """The reply to the wrong answer."""


class ChoiceOption(Strict, frozen=True, kw_only=True):
    """One answer to choose; it is the right one if `when` holds."""

    text: Text
    when: Text
    reply: str = ""
    """The reply if it is chosen and wrong."""


class ChoiceQuestion(Question, frozen=True, kw_only=True, tag="choice"):
    """Answered with one of several options; the model says which one is true."""

    option: Annotated[tuple[ChoiceOption, ...], msgspec.Meta(min_length=2, max_length=6)]


class PageQuestion(Question, frozen=True, kw_only=True, tag="page"):
    """Answered by pointing at a page; the right one is the only one of `among` for which the condition holds."""

    among: Annotated[tuple[Text, ...], msgspec.Meta(min_length=2)]
    """Subjects: `p0 buf+1`, or a reference and a page of it."""
    answer: Text
    """A condition with a `*` where the subject belongs, e.g. `absent *`."""
    wrong: tuple[WrongAnswer, ...] = ()
    otherwise: Text


Prediction = NumberQuestion | YesNoQuestion | ChoiceQuestion | PageQuestion

# -- things to do, and what goes with them ----------------------------------------------------------

Pace = Literal["visible", "micro", "procedure", "remark", "command"]
"""How far a key press goes in a `do` block: up to the next micro-step that changes something in sight, one micro-step,
one kernel function, up to the next micro-step with an author's remark, or one whole command. The learner can always go
more finely."""

PACES: Final[tuple[Pace, ...]] = get_args(Pace)


class Remark(msgspec.Struct, frozen=True):
    """An author's sentence to one micro-step of a command."""

    step: str
    """`procedure.step`, or the step alone."""
    text: str
    line: int


class LessonCommand(msgspec.Struct, frozen=True):
    """One command of a `do` or `solution` block and where it stands."""

    text: str
    line: int
    column: int = 1
    remarks: tuple[Remark, ...] = ()


class Do(msgspec.Struct, frozen=True):
    """Commands that the learner plays by going forward."""

    commands: tuple[LessonCommand, ...]
    by: Pace
    line: int
    until: str = ""
    """`procedure.step`: stop there, with the last command still in flight (a task that was begun)."""


class GoalCheck(msgspec.Struct, frozen=True):
    """One line of a goal: what must hold, and how it reads."""

    condition: str
    text: str
    line: int


class Goal(msgspec.Struct, frozen=True):
    """What the learner is to reach with commands of their own."""

    id: str
    checks: tuple[GoalCheck, ...]
    line: int
    solution: tuple[LessonCommand, ...] = ()
    par: int = 0
    """The fewest commands that will do; 0: not said."""


HINT_KINDS: Final = ("where", "what", "next", "show")
"""The hints of a prediction or goal, in the order in which they are given."""


class Hint(msgspec.Struct, frozen=True):
    """One hint of a prediction or goal."""

    kind: str
    text: str
    line: int


class Note(msgspec.Struct, frozen=True):
    """An aside, or a remark for the teacher."""

    text: str
    audience: Literal["reader", "teacher"]
    line: int


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something to read and at most one thing to do."""

    line: int
    text: str = ""
    """Markdown."""
    text_line: int = 0
    world: str = ""
    """Not empty: this item starts a new scene in that world."""
    setup: tuple[LessonCommand, ...] = ()
    """Commands that set this scene further, beyond the shared world."""
    action: Prediction | Do | Goal | None = None
    action_line: int = 0
    hints: tuple[Hint, ...] = ()
    notes: tuple[Note, ...] = ()
    last: bool = False
    """The `after` item, which sums up."""


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One lesson file, loaded."""

    file: str
    header: FrontMatter
    items: tuple[Item, ...]
    worlds: dict[str, str]
    """The scripts that set its scenes, by name."""
    revision: str
    """A digest of the text: progress made in another revision is resumed at the same item, but not inside it."""

    @property
    def id(self) -> str:
        """The lesson's stable name."""
        return self.header.id
