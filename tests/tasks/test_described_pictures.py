"""One picture, and what is in it."""

import pytest

from strop.errors import TaskError
from strop.keys import Key
from strop.tasks.described_pictures import DescribedPictures
from strop.tasks.visual_puzzles import VisualPuzzles

TASK = DescribedPictures(puzzles=3)


def test_every_picture_is_one_of_its_puzzle_with_its_own_values():
    for index in range(24):
        problem, whole = TASK.problem("train", index), VisualPuzzles().problem("train", index % 3)
        place = whole.images.index(problem.images[0])
        expected = " ".join(f"{name} P{value}" for name, value in whole.data["panels"][place].items())
        assert problem.reference == expected


def test_each_of_several_pictures_has_its_own_values_behind_its_name():
    """Whatever stands behind the name of a picture, alone, is what is said when it is the only one."""
    alone = {problem.images[0]: problem.reference for problem in (TASK.problem("train", index) for index in range(24))}
    for index in range(24):
        problem = DescribedPictures(puzzles=3, pictures=8).problem("train", index)
        assert problem.question == "What do you see? " + " ".join(f"{name}<image>" for name in "PQRSABCD")
        for name, image in zip("PQRSABCD", problem.images, strict=True):
            said = [word for word in str(problem.reference).split() if word.islower() or word[0] == name]
            assert " ".join(said).replace(f" {name}", " P") == alone[image]


def test_neighbours_are_of_different_puzzles_and_splits_share_none():
    shown = [TASK.problem("train", index).images[0] for index in range(3)]
    puzzles = [set(VisualPuzzles().problem("train", index).images) for index in range(3)]
    assert [[image in pictures for pictures in puzzles].index(True) for image in shown] == [0, 1, 2]
    held = [TASK.problem("heldout", index).images[0] for index in range(24)]
    assert not set(held) & {image for pictures in puzzles for image in pictures}


def test_only_the_whole_description_is_right():
    problem = TASK.problem("heldout", 5)
    assert TASK.verify(TASK.write(problem, "short", Key.root(0)), problem).outcome == "right"
    assert TASK.verify(TASK.corrupt(problem, Key.root(0)), problem).outcome == "wrong"
    assert TASK.verify("", problem).outcome == "wrong"


def test_what_is_not_there():
    with pytest.raises(TaskError, match="0 to 23"):
        TASK.problem("train", 24)
