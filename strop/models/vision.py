"""Images in prompts: how many places they take there, and the embeddings that stand in these places."""

import functools
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoProcessor, PreTrainedModel

from strop.errors import BackendError, TaskError
from strop.models.pictures import open_picture, size_of
from strop.records import Turn

MARK = "<image>"
"""Where an image stands in a turn's content."""
KEPT = 1024
"""Images whose pixels are kept ready, each as large as the model reads it."""


class Vision:
    """A model's own processor, and what becomes of its images in front of the first decoder layer.

    Nothing is assumed about an architecture by its name: embeddings of an image come from the model's own
    `get_image_features` and take the places of its image token, and on the first use this is compared with the model's
    own forward pass. Models whose images also change positions or masks (Qwen-VL, Gemma 3) differ, and are refused.
    Whoever runs decoder layers therefore gives embeddings in place of ids, and knows nothing else of images.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        """Of transformers: tokenizer and image processor, as the model's folder has them."""
        self.id: int = _image_id(processor)
        """The id that stands where an image's embeddings go."""
        self.token = str(processor.tokenizer.convert_ids_to_tokens(self.id))
        self._pixels = functools.lru_cache(KEPT)(self._read)
        self._rendered = functools.lru_cache(KEPT)(self._ids)

    def __reduce__(self) -> tuple[Any, ...]:
        """What is kept stays in its process: another one makes its own."""
        return Vision, (self.processor,)

    def prompt(self, turns: Sequence[Turn]) -> Int[np.ndarray, " S"]:
        """The conversation up to where the assistant's turn begins, with as many places for each image as it fills."""
        messages = [{"role": turn.role, "content": _parts(turn, self.token)} for turn in turns]
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        # how many places an image fills depends on its size alone, so no pixel is looked at here
        return self._rendered(text, tuple(size_of(image) for turn in turns for image in turn.images)).copy()

    def reads(self, prompts: Sequence[Int[np.ndarray, " _"]], images: Sequence[Sequence[str]]) -> bool:
        """Whether any of these prompts has images, or places for them."""
        return any(images) or any((prompt == self.id).any() for prompt in prompts)

    def features(
        self, net: PreTrainedModel, prompts: Sequence[Int[np.ndarray, " _"]], images: Sequence[Sequence[str]]
    ) -> Float[Tensor, "I H"]:
        """What goes into the places of these prompts, in their order; each image goes through the model once."""
        compare(self, net)
        # an array without images stands for rows that have none
        images = images or [()] * len(prompts)
        found = self._features(net, list(dict.fromkeys(image for mine in images for image in mine)))
        for prompt, mine in zip(prompts, images, strict=True):
            places, there = int((prompt == self.id).sum()), sum(len(found[image]) for image in mine)
            if places != there:
                raise BackendError(
                    f"A prompt has {places} places for images and comes with {len(mine)} images that fill {there}. "
                    "Prompts with images go through as they are: episodes and decoders that rewrite them, or go on "
                    "from a part of a response, do not carry images yet. Use single_turn or from_data."
                )
        every = [found[image] for mine in images for image in mine]
        return torch.cat(every) if every else torch.zeros(0, device=net.device)

    def embedded(
        self,
        net: PreTrainedModel,
        ids: Int[Tensor, "N S"],
        prompts: Sequence[Int[np.ndarray, " _"]],
        starts: Sequence[int],
        images: Sequence[Sequence[str]],
        embeddings: Float[Tensor, "N S H"] | None = None,
    ) -> Float[Tensor, "N S H"]:
        """Embeddings of rows of ids, in which each prompt begins at its start, with images in their places.

        What a response says stays text, even where it says the image token.
        """
        table: Any = net.get_input_embeddings()
        embedded = table(ids) if embeddings is None else embeddings
        there = np.zeros(tuple(ids.shape), dtype=bool)
        for row, prompt, start in zip(there, prompts, starts, strict=True):
            row[start : start + len(prompt)] = prompt == self.id
        places: Bool[Tensor, "N S"] = torch.from_numpy(there).to(ids.device)
        features = self.features(net, prompts, images)
        return embedded.index_put((places,), features.to(embedded.dtype)) if len(features) else embedded

    def save(self, folder: str | Path) -> None:
        """Write the processor, its tokenizer included, into a model folder."""
        self.processor.save_pretrained(str(folder))

    def _ids(self, text: str, sizes: tuple[tuple[int, int], ...]) -> Int[np.ndarray, " S"]:
        from PIL import Image

        blank = [Image.new("RGB", size) for size in sizes]
        given = self.processor(text=[text], **({"images": [blank]} if blank else {}))
        return np.asarray(given["input_ids"][0], dtype=np.int64)

    def _read(self, image: str) -> dict[str, Tensor]:
        # pixels stay for whoever asks next, and a learner cannot go back through tensors of inference mode
        with torch.inference_mode(False):
            return _processed(self.processor, open_picture(image))

    def _features(self, net: PreTrainedModel, images: Sequence[str]) -> dict[str, Float[Tensor, "L H"]]:
        """Of each image; those with tensors of the same shapes go through the vision tower together."""
        alike: dict[tuple[Any, ...], list[str]] = {}
        pixels = {image: self._pixels(image) for image in images}
        for image, given in pixels.items():
            alike.setdefault(tuple((name, tuple(value.shape)) for name, value in given.items()), []).append(image)
        found: dict[str, Tensor] = {}
        for members in alike.values():
            together = {name: torch.cat([pixels[image][name] for image in members]) for name in pixels[members[0]]}
            rows = _run(net, together)
            found |= zip(members, rows.unflatten(0, (len(members), -1)), strict=True)
        return found


_OF: "weakref.WeakKeyDictionary[PreTrainedModel, Vision]" = weakref.WeakKeyDictionary()
_COMPARED: "weakref.WeakSet[PreTrainedModel]" = weakref.WeakSet()


def attach(net: PreTrainedModel, vision: Vision) -> None:
    """Let whoever runs this net know what belongs to its images."""
    _OF[net] = vision


def vision_of(net: PreTrainedModel) -> Vision | None:
    """What belongs to a net's images; None where it sees none."""
    return _OF.get(net)


def load_vision(place: str) -> Vision:
    """The processor of a model folder or hub model."""
    try:
        return Vision(AutoProcessor.from_pretrained(place, trust_remote_code=False))
    except Exception as error:
        # OSError, ImportError or KeyError, depending on which file or library is missing
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BackendError(
            f"{place} has no image processor that can be loaded ({reason}). A model that sees needs "
            "processor_config.json or preprocessor_config.json, and pip install 'strop[vision]'."
        ) from error


def compare(vision: Vision, net: PreTrainedModel) -> None:
    """Raise where embeddings in the image's places are not all that the model makes of it; looked at once per net."""
    if net in _COMPARED:
        return
    from PIL import Image

    noise = np.random.Generator(np.random.Philox(key=0)).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "x"}]}]
    text = vision.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    table: Any = net.get_input_embeddings()
    with torch.no_grad():
        given = vision.processor(text=[text], images=[[image]], return_tensors="pt").to(net.device)
        given = {name: v.to(net.dtype) if v.is_floating_point() else v for name, v in given.items()}
        expected = net(**given, use_cache=False).logits.float()
        ids = given["input_ids"]
        features = _run(net, _processed(vision.processor, image))
        embedded = table(ids)
        embedded[ids == vision.id] = features.to(embedded.dtype)
        actual = net(inputs_embeds=embedded, use_cache=False).logits.float()
    error, tolerance = (actual - expected).abs().max(), 1e-3 if net.dtype == torch.float32 else 5e-2
    if not bool(error <= tolerance * expected.abs().max()):
        raise BackendError(
            f"{type(net).__name__} changes positions or masks where images stand, which is not supported yet: its "
            f"logits differ by {float(error):.2g}. Models such as LLaVA, Idefics3 and SmolVLM can be given images."
        )
    _COMPARED.add(net)


def _run(net: Any, pixels: dict[str, Tensor]) -> Float[Tensor, "I H"]:
    """What the vision tower and the projector make of images, one after another."""
    given = {name: value.to(net.device) for name, value in pixels.items()}
    given = {name: value.to(net.dtype) if value.is_floating_point() else value for name, value in given.items()}
    out = net.get_image_features(**given, return_dict=True).pooler_output
    return torch.cat([each.flatten(0, -2) for each in out])


def _processed(processor: Any, image: Any) -> dict[str, Tensor]:
    """What the vision tower is given of one image."""
    out = processor.image_processor(images=[image], return_tensors="pt")
    return {name: value for name, value in out.items() if isinstance(value, Tensor)}


def _image_id(processor: Any) -> int:
    for owner in (processor, getattr(processor, "tokenizer", None)):
        for name in ("image_token_id", "image_token_index"):
            if (value := getattr(owner, name, None)) is not None:
                return int(value)
    token = getattr(processor, "image_token", MARK)
    return int(processor.tokenizer.convert_tokens_to_ids(str(token)))


def _parts(turn: Turn, token: str) -> list[dict[str, str]]:
    """A turn's content as chat templates of models that see take it. What a model or a tool said is text, even where it
    spells the image token.

    >>> _parts(Turn("user", "A <image> or B", ("a.png",)), MARK)
    [{'type': 'text', 'text': 'A '}, {'type': 'image'}, {'type': 'text', 'text': ' or B'}]
    """
    if not turn.images:
        said = turn.role in ("assistant", "tool")
        return [{"type": "text", "text": turn.content.replace(token, " ".join(token)) if said else turn.content}]
    texts = turn.content.split(MARK)
    if len(texts) == 1:
        texts = [*[""] * len(turn.images), turn.content]
    if len(texts) - 1 != len(turn.images):
        raise TaskError(
            f"A {turn.role} turn has {len(texts) - 1} marks {MARK} and {len(turn.images)} images; it needs one for "
            "each, or none to have all images before the text."
        )
    parts: list[dict[str, str]] = []
    for text in texts:
        parts += [{"type": "text", "text": text}] if text else []
        parts.append({"type": "image"})
    return parts[:-1]
