"""Which predictions are answered where."""

from lessons.file.schema import Do, Goal, Lesson, Prediction


def pending(lesson: Lesson, item: int) -> tuple[Prediction, ...]:
    """The predictions that the `do` block of an item answers: those asked since the block before it."""
    asked: list[Prediction] = []
    for earlier in reversed(lesson.items[:item]):
        action = earlier.action
        if isinstance(action, Do):
            break
        if action is not None and not isinstance(action, Goal) and action.reveal == "after":
            asked.append(action)
    return tuple(reversed(asked))
