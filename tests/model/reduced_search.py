"""The reduced search beside one of every state: `python -m tests.model.reduced_search 1000` compares scenes."""

import random
import sys

from model.search.bfs import Search, explore
from model.search.problem import SearchProblem
from model.search.reduction import Reduction
from model.search.report import report
from tests.model import naive_search
from tests.model.test_search_random import random_search


def reduced(scene: SearchProblem, *, symmetry: bool = False) -> Reduction:
    """A reduced search of a scene, whatever its size."""
    search = Search(scene, symmetry=symmetry)
    found = Reduction(scene, search.cache, search.symmetry)
    found.run()
    assert found.complete
    return found


def same_as_everything(scene: SearchProblem) -> tuple[int, int]:
    """Compare with every state of the plain kernel, and the verdicts with those of a whole search; both sizes."""
    ends: list[naive_search.Place] = []
    everything = naive_search.search(scene, ends=ends)
    found = reduced(scene)
    assert found.kinds == everything.distances.keys()
    assert {found.cache.state(packed).to_json() for packed in found.ends} == {place.state.to_json() for place in ends}
    assert (found.waiting is not None) == any(len(place.state.tasks) for place in ends)
    whole = report(explore(scene, symmetry=False))
    assert {name: found.verdict(name) for name in whole.verdicts} == {
        name: "never" if verdict == "vacuous" else verdict for name, verdict in whole.verdicts.items()
    }
    assert report(whole.search, "", None, found).commands == whole.commands
    return everything.states, len(found.before)


def main(count: int) -> None:
    """Compare random small scenes. AssertionError for one that differs."""
    every = kept = 0
    for number, seed in enumerate(random.Random(1).sample(range(10**6), count), 1):
        try:
            all_states, few = same_as_everything(random_search(seed, symmetry=False).scene)
        except AssertionError:
            sys.stdout.write(f"seed {seed} differs\n")
            raise
        every, kept = every + all_states, kept + few
        if number % 100 == 0 or number == count:
            sys.stdout.write(f"{number} scenes alike: {every} states, of which {kept} were kept\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
