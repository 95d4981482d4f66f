"""A model of about a million parameters that sees: SigLIP's vision tower and Qwen3's decoder, joined as in LLaVA.

Its folder is an ordinary one of transformers (`LlavaForConditionalGeneration`, `LlavaProcessor`): nothing of strop is
needed to load it.
"""

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForImageTextToText, LlavaConfig, LlavaProcessor, PreTrainedConfig, SiglipVisionConfig

from strop.models import nano
from strop.models.chat_tokenizer import ChatTokenizer
from strop.models.language_model import LanguageModel, context_of
from strop.models.vision import MARK, Vision, attach

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PIXELS, PATCH = 64, 16
"""Width and height that every image is brought to, and of the squares it is cut into: 16 places in the prompt."""
TOWER = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
DECODER = "micro"
SPREAD = 0.02
"""Standard deviation of initial weights."""
TEMPLATE = (
    "{% for turn in messages %}{{ '<|' + turn.role + '|>' }}{% if turn.content is string %}{{ turn.content }}"
    "{% else %}{% for part in turn.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}"
    "{% endif %}{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def initialise(seed: int, tokenizer: "PreTrainedTokenizerFast") -> LanguageModel:
    """Random fp32 weights, a function of the tokenizer's size and the seed. The tokenizer gets a token for images."""
    tokenizer.add_special_tokens({"additional_special_tokens": [MARK]})
    tokenizer.chat_template = TEMPLATE
    made = config(tokenizer)
    # transformers draws initial weights from torch's global generator; the caller's stream is put back afterwards
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = AutoModelForImageTextToText.from_config(made, dtype=torch.float32, trust_remote_code=False)
    vision = Vision(processor(tokenizer))
    attach(net, vision)
    return LanguageModel(net.eval(), ChatTokenizer(tokenizer, vision=vision), "", context_of(made))


def config(tokenizer: "PreTrainedTokenizerFast") -> PreTrainedConfig:
    """The architecture; every place of an image is one square of it."""
    text = nano.config(DECODER, tokenizer)
    text.initializer_range = SPREAD
    shape: dict[str, Any] = {
        "text_config": text,
        "vision_config": SiglipVisionConfig(
            **TOWER,
            image_size=PIXELS,
            patch_size=PATCH,
            vision_use_head=False,  # pyright: ignore[reportCallIssue]
        ),
        "initializer_range": SPREAD,
        "image_token_index": tokenizer.convert_tokens_to_ids(MARK),
        "image_seq_length": (PIXELS // PATCH) ** 2,
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
        "bos_token_id": None,
        "eos_token_id": text.eos_token_id,
        "pad_token_id": text.pad_token_id,
    }
    return LlavaConfig(**shape)


def processor(tokenizer: "PreTrainedTokenizerFast") -> LlavaProcessor:
    """What brings images to the size the tower reads, and says how many places they take."""
    # the one that computes with Pillow: torchvision is not among strop's libraries
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    images: Any = SiglipImageProcessorPil(size={"height": PIXELS, "width": PIXELS})
    return LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=PATCH, vision_feature_select_strategy="full",
        chat_template=TEMPLATE, num_additional_image_tokens=0,
    )  # fmt: skip
