"""Images are opened with limits, prompts have places for them, and a model that sees is saved with what it sees by."""

import base64
import json
import pickle
import zlib

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from strop.errors import BackendError, TaskError
from strop.models.language_model import load, save, tokenizer_of
from strop.models.pictures import MOST_BYTES, open_picture, size_of
from strop.records import Turn
from tests.backends.seeing import TASK, llava, own_logp, problem, save_png


@pytest.fixture(scope="module")
def model():
    return llava()


def bomb(width, height):
    """A PNG of a few bytes that says it is so large."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_file_and_its_data_uri_are_the_same_image(tmp_path):
    path = save_png(tmp_path / "a.png", (5, 3), (1, 2, 3))
    uri = "data:image/png;base64," + base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    for source in (path, uri):
        assert size_of(source) == (5, 3)
        assert np.array_equal(np.asarray(open_picture(source)), np.full((3, 5, 3), (1, 2, 3), dtype=np.uint8))


def wrong(folder):
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes(bomb(8, 8)[:30])
    (folder / "bomb.png").write_bytes(bomb(60_000, 60_000))
    (folder / "many.png").write_bytes(bomb(5_000, 5_000))
    with (folder / "large.png").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (folder / "vector.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return {
        "missing": (folder / "missing.png", r"There is no image .*missing\.png"),
        "folder": (folder, "There is no image"),
        "text": (folder / "text.png", r"text\.png cannot be read as an image"),
        "cut": (folder / "cut.png", r"cut\.png cannot be read as an image"),
        "bomb": (folder / "bomb.png", r"bomb\.png: the image has more pixels than the 16777216 that are read"),
        "many": (folder / "many.png", r"many\.png: the image has 5000 x 5000 pixels, at most 16777216"),
        "large": (folder / "large.png", r"large\.png: 16777217 bytes are too many"),
        "vector": (folder / "vector.svg", "PNG, JPEG, WEBP are read"),
        "network": ("https://example.com/a.png", "not from the network"),
        "data": ("data:image/png;base64,!!!", "no base64"),
        "kind": ("data:image/png,abc", "expected data:image/png;base64"),
        "null": ("a\0b.png", "image"),
    }


KINDS = ["missing", "folder", "text", "cut", "bomb", "many", "large", "vector", "network", "data", "kind", "null"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_image_is_one_clear_error(tmp_path, kind):
    source, said = wrong(tmp_path)[kind]
    for read in (size_of, open_picture):
        with pytest.raises(TaskError, match=said):
            read(str(source))


def test_an_image_cut_in_the_middle_is_found_when_it_is_decoded(tmp_path):
    noise = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    from PIL import Image

    Image.fromarray(noise).save(tmp_path / "whole.png")
    half = tmp_path / "half.png"
    half.write_bytes((tmp_path / "whole.png").read_bytes()[:4000])
    with pytest.raises(TaskError, match=r"half\.png cannot be read"):
        open_picture(str(half))


def test_each_image_has_as_many_places_as_it_fills(model, tmp_path):
    wide = save_png(tmp_path / "wide.png", (100, 30))
    prompt = model.tokenizer.prompt([Turn("user", "a <image> b <image>", (wide, wide))])
    # 64 x 64 pixels in squares of 16
    assert (prompt == model.tokenizer.vision.id).sum() == 2 * 16
    plain = model.tokenizer.prompt([Turn("user", "a  b ")])
    assert len(prompt) - len(plain) == 2 * 16
    first = model.tokenizer.prompt([Turn("user", "a", (wide,))])
    assert first[1:17].tolist() == [model.tokenizer.vision.id] * 16


def test_its_tokenizer_can_be_sent_to_another_process(model):
    turns = TASK.problem("train", 0).prompt
    there = pickle.loads(pickle.dumps(model.tokenizer))
    assert there.prompt(turns).tolist() == model.tokenizer.prompt(turns).tolist()


def test_marks_and_images_must_agree(model, tmp_path):
    one = save_png(tmp_path / "one.png")
    with pytest.raises(TaskError, match="1 marks <image> and 2 images"):
        model.tokenizer.prompt([Turn("user", "a <image>", (one, one))])


def test_what_a_model_said_is_text(model):
    """An answer that spells the token, given back in a later turn, opens no place."""
    for role, places in (("assistant", 0), ("tool", 0), ("user", 1)):
        prompt = model.tokenizer.prompt([Turn(role, "see <image>")])
        assert (prompt == model.tokenizer.vision.id).sum() == places


def test_it_is_saved_with_its_processor_and_loads_here_and_there(model, tmp_path):
    save(model, tmp_path)
    again = load(tmp_path)
    asked = TASK.problem("train", 0)
    tokens = np.array([40, 41, 42])
    prompt = again.tokenizer.prompt(asked.prompt)
    assert prompt.tolist() == model.tokenizer.prompt(asked.prompt).tolist()
    assert torch.equal(own_logp(again, asked, tokens), own_logp(model, asked, tokens))
    assert again.tokenizer.vision is not None
    light, context = tokenizer_of(tmp_path)
    assert (light.prompt(asked.prompt).tolist(), context) == (prompt.tolist(), model.context)
    # what transformers itself makes of the folder
    processor = AutoProcessor.from_pretrained(tmp_path)
    net = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(net).__name__ == "LlavaForConditionalGeneration"
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what"}]}], add_generation_prompt=True
    )
    ids = processor(text=[text], images=[[open_picture(asked.images[0])]])["input_ids"][0]
    assert ids == model.tokenizer.prompt(problem(asked.images[:1], "what").prompt).tolist()


def test_a_folder_without_its_processor_says_so(model, tmp_path):
    save(model, tmp_path)
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(BackendError, match="no image processor"):
        load(tmp_path)


def test_a_checkpoint_of_a_run_sees(tmp_path):
    from strop import flow
    from strop.progress import progress
    from strop.recipe import override
    from strop.recipes.visual_sphinx import visual_sphinx
    from strop.store.run import Run

    small = [
        "stages.0.problems=4",
        "stages.1.problems=2",
        "stages.1.samples=2",
        "heldout.problems=2",
        "heldout.every=0",
    ]
    recipe = override(visual_sphinx(warmup=1, steps=1, max_tokens=6), small)
    run = flow.run(recipe, out=tmp_path / "run", display=progress("silent"))
    folder = Run.open(run.path).checkpoint("last")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llava"
    assert (folder / "processor_config.json").is_file()
    prompt = load(tmp_path / "run").tokenizer.prompt(TASK.problem("train", 0).prompt)
    assert len(prompt) > 128
    # a trained model is taken as it is: no supervised stage
    later = visual_sphinx(model=str(tmp_path / "run"), steps=1, max_tokens=6)
    assert [stage.name for stage in later.stages] == ["rl"]
    small = ["stages.0.problems=2", "stages.0.samples=2", "heldout.problems=2", "heldout.every=0"]
    again = flow.run(override(later, small), out=tmp_path / "again", display=progress("silent"))
    assert len(again.metrics.to_pylist()) == 2
