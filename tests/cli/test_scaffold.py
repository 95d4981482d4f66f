"""strop new: every stub runs, passes its own test and the linter, and nothing is overwritten."""

import importlib.util
import subprocess
import sys

import pytest

from strop import catalogue, contracts
from strop.cli import scaffold
from strop.errors import ConfigError

TEMPLATES = sorted(path.stem for path in scaffold.TEMPLATES.glob("*.txt"))
TOP = catalogue.ROOT.parent


def place(template):
    room, _, group = template.partition(".")
    return room, group


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every stub and its test in one folder, as modules at the top level."""
    folder = tmp_path_factory.mktemp("stubs")
    for template in TEMPLATES:
        stem = template.replace(".", "_") + "_stub"
        member, test = scaffold._filled(*place(template), stem, stem)
        (folder / f"{stem}.py").write_text(member)
        (folder / f"test_{stem}.py").write_text(test)
    return folder


def test_there_is_a_stub_for_every_room_a_user_adds_to():
    assert {place(template)[0] for template in TEMPLATES} == set(catalogue.ROOMS) - {"studies"}


def test_stubs_pass_their_own_tests_and_doctests(written):
    options = ["-q", "--doctest-modules", "-p", "no:cacheprovider", "--rootdir", str(written)]
    done = subprocess.run([sys.executable, "-m", "pytest", *options, "."], cwd=written, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout.splitlines()[-1]


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed: make lint installs it")
def test_stubs_are_formatted_and_linted(written):
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", str(TOP / "pyproject.toml")]
    for call in ([*ruff, "check", *settings, "--ignore", "I001"], [*ruff, "format", "--check", "--diff", *settings]):
        done = subprocess.run([*call, str(written)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("template", [t for t in TEMPLATES if {place(t)[0], place(t)[1]} & set(contracts.CONTRACTS)])
def test_stubs_keep_the_contract_of_their_room(written, template):
    stem = template.replace(".", "_") + "_stub"
    cls = catalogue.load(f"{written / stem}.py:{scaffold.class_name(stem)}")
    failed = [finding for finding in contracts.check(cls()) if not finding.passed]
    assert not failed


def test_files_and_commands_of_a_new_piece():
    made = scaffold.plan("objectives", "preference/my_loss", recipe=True)
    names = {str(path.relative_to(TOP)) for path in made.files}
    assert names == {
        "strop/objectives/preference/my_loss.py",
        "tests/objectives/test_my_loss.py",
        "strop/recipes/my_loss.py",
        "tests/recipes/test_recipes_my_loss.py",
    }
    text = "\n".join(made.files.values())
    assert "from strop.objectives.preference.my_loss import MyLoss" in text
    assert "objective=MyLoss()" in text
    assert "{{" not in text
    assert "strop check objectives/preference/my_loss" in made.commands
    assert "strop run my_loss --dry-run" in made.commands


def test_names_of_test_files_stay_unique():
    made = scaffold.plan("probes", "scaffold")
    assert [path.name for path in made.files] == ["scaffold.py", "test_probes_scaffold.py"], (
        "this file has the plain name"
    )


def test_files_and_commands_of_a_users_piece(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = scaffold.plan("rewards", "mine", user=True)
    assert list(made.files) == [tmp_path / "mine.py"]
    assert "strop check ./mine.py:Mine" in made.commands
    assert "strop run grpo --set stages.0.rewards=correctness,./mine.py:Mine" in made.commands


def test_a_recipe_with_every_kind_of_piece_is_python():
    for slot in scaffold.IN_A_RECIPE:
        room, _, group = slot.partition("/")
        name = f"{group or 'policy_gradient'}/thing_x" if room == "objectives" else "thing_x"
        made = scaffold.plan(room, name, recipe=True)
        recipe = next(
            text for path, text in made.files.items() if path.parent.name == "recipes" and "test" not in path.name
        )
        compile(recipe, "recipe", "exec")
        assert "ThingX(" in recipe


@pytest.mark.parametrize(
    ("room", "name", "options", "said"),
    [
        ("rewards", "Mine", {}, "lower case"),
        ("rewards", "a/b", {}, "has no folders"),
        ("objectives", "mine", {}, "has folders: averages"),
        ("objectives", "nowhere/mine", {}, "No folder 'nowhere'"),
        ("rewards", "correctness", {}, "has a member correctness already"),
        ("studies", "mine", {}, "no template"),
        ("probes", "mine", {"recipe": True}, "no place"),
        ("rewards", "mine", {"recipe": True, "user": True}, "--set"),
    ],
)
def test_what_cannot_be_made_is_explained(room, name, options, said):
    with pytest.raises(ConfigError) as caught:
        scaffold.plan(room, name, **options)
    assert said in str(caught.value)


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(ConfigError, match="not overwritten"):
        scaffold.plan("rewards", "mine", user=True)
    assert (tmp_path / "mine.py").read_text() == "precious"
