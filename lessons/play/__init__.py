"""Playing a lesson: the learner's place, guesses, goals, hints."""
