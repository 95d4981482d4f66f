"""One trace for each prompt, from two sources."""

import pytest

from strop.curators.mix_sources import MixSources
from strop.keys import Key
from strop.records import Group, Problem, Trajectory, Verdict, np


def prompt(i, **sources):
    """A prompt with traces by source; a number is the length of a right one, a text its outcome."""
    problem = Problem(id=f"a/train/{i}", task="a", prompt=(), reference="5")
    rows = []
    for source, each in sources.items():
        for sample, said in enumerate(each if isinstance(each, list) else [each]):
            outcome, tokens = ("right", said) if isinstance(said, int) else (said, 3)
            rows.append(
                Trajectory(problem=problem, sample=sample, text="", checkpoint=source, verdict=Verdict(outcome),
                           mask=np.ones(tokens, dtype=bool))
            )  # fmt: skip
    return Group(problem, tuple(rows))


def kept(groups, **fields):
    """{prompt: (source, sample)} of what is left."""
    return {
        g.problem.id: [(t.checkpoint, t.sample) for t in g.trajectories if not t.dropped]
        for g in MixSources(**fields)(groups, Key.root(0))
    }


@pytest.mark.parametrize("share", [0.0, 0.2, 0.25, 0.5, 1.0])
def test_the_share_is_exact_and_every_prompt_has_one_trace(share):
    found = kept([prompt(i, long=9, short=3) for i in range(40)], share=share)
    assert all(len(each) == 1 for each in found.values())
    assert sum(each == [("long", 0)] for each in found.values()) == round(40 * share)


def test_a_small_share_is_part_of_a_larger_one_whatever_the_order_of_the_prompts():
    groups = [prompt(i, long=9, short=3) for i in range(50)]
    few, many = ({n for n, each in kept(gs, share=s).items() if each[0][0] == "long"}
                 for gs, s in ((groups, 0.1), (groups[::-1], 0.4)))  # fmt: skip
    assert few < many
    assert (len(few), len(many)) == (5, 20)


def test_all_arms_have_the_same_prompts():
    groups = [prompt(0, long=9, short=3), prompt(1, long="wrong", short=3), prompt(2, long=9, short="wrong"),
              prompt(3, long=99, short=3), prompt(4, long=9), prompt(5, long=9, short=3)]  # fmt: skip
    for share in (0.0, 0.5, 1.0):
        found = kept(groups, share=share, max_tokens=50)
        assert [name for name, each in found.items() if each] == ["a/train/0", "a/train/5"]
    marks = [[t.dropped for t in g.trajectories] for g in MixSources(share=1, max_tokens=50)(groups, Key.root(0))]
    assert marks[0] == ["", "another source"]
    assert marks[1] == ["not right", "no trace of long"]
    assert marks[3] == ["too long", "no trace of long"]


def test_a_third_source_counts_for_the_prompts_and_is_not_used():
    groups = [prompt(0, long=9, short=3, large=5), prompt(1, long=9, short=3, large="wrong")]
    assert kept(groups, share=1.0) == {"a/train/0": [("long", 0)], "a/train/1": []}
    assert kept(groups, first="large", second="long", share=1.0)["a/train/0"] == [("large", 0)]


def test_the_first_right_trace_of_a_source_is_taken():
    assert kept([prompt(0, long=["wrong", 9, 8], short=3)], share=1.0) == {"a/train/0": [("long", 1)]}
