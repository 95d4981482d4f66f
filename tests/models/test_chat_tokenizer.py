"""`ChatTokenizer` on tokenizers built here: templates, several end ids, thinking tags."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.errors import BackendError
from strop.models.chat_tokenizer import ChatTokenizer, load_tokenizer
from strop.records import Turn


def changed(hf, **fields):
    other = copy.deepcopy(hf)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def test_prompt_uses_the_template(tokenizer):
    turns = [Turn("system", "wait"), Turn("user", "2+3"), Turn("assistant", "5"), Turn("user", "no")]
    names = "<|system|> wait <|end|> <|user|> 2 + 3 <|end|> <|assistant|> 5 <|end|> <|user|> no <|end|> <|assistant|>"
    expected = tokenizer.hf.convert_tokens_to_ids(names.split())
    assert tokenizer.prompt(turns).tolist() == expected
    assert tokenizer.prompt(turns).dtype == np.int64


def test_prompt_without_a_template_is_lines(hf_tokenizer):
    plain = ChatTokenizer(changed(hf_tokenizer, chat_template=None))
    names = ["w", "a", "\n", "2", "+", "3", "\n"]
    assert plain.prompt([Turn("system", "wa"), Turn("user", "2+3")]).tolist() == plain.hf.convert_tokens_to_ids(names)
    assert plain.end_id == plain.hf.eos_token_id == 2
    assert plain.eos_ids == {2}


def test_a_prompt_continues_the_prompt_before_it(tokenizer):
    """Tokens in, tokens out: prompt + response + end id begins the next turn's prompt."""
    first = [Turn("user", "2+3")]
    response = tokenizer.encode("<think>2+3=5</think>5")
    second = [*first, Turn("assistant", "<think>2+3=5</think>5"), Turn("user", "no")]
    expected = [*tokenizer.prompt(first), *response, tokenizer.end_id]
    assert tokenizer.prompt(second)[: len(expected)].tolist() == expected


def test_the_end_is_what_the_template_puts_after_an_answer(hf_tokenizer, tokenizer):
    assert tokenizer.hf.convert_ids_to_tokens(tokenizer.end_id) == "<|end|>"
    # as several published templates do: a line break after the end token
    spaced = hf_tokenizer.chat_template.replace("<|end|>", "<|end|>\n")
    assert ChatTokenizer(changed(hf_tokenizer, chat_template=spaced)).end_id == tokenizer.end_id
    # the answer ends in EOS while other turns end in <|end|>
    ending = "{{ '<|eos|>' if m['role'] == 'assistant' else '<|end|>' }}"
    answers = "{% for m in messages %}{{ m['content'] }}" + ending + "{% endfor %}"
    assert ChatTokenizer(changed(hf_tokenizer, chat_template=answers)).end_id == hf_tokenizer.eos_token_id
    # nothing after the answer, or a template that refuses: the tokenizer's EOS
    for template in ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "{{ raise_exception('no') }}"):
        assert ChatTokenizer(changed(hf_tokenizer, chat_template=template)).end_id == hf_tokenizer.eos_token_id


def test_all_end_ids_are_collected(hf_tokenizer):
    assert ChatTokenizer(hf_tokenizer, [7, 20]).eos_ids == {2, 3, 7, 20}
    nothing = changed(hf_tokenizer, chat_template=None, eos_token=None)
    with pytest.raises(BackendError, match="eos_token"):
        ChatTokenizer(nothing)
    assert ChatTokenizer(nothing, [9]).end_id == 9


def test_decode_keeps_thinking_tags_and_drops_ends(tokenizer):
    ids = [*tokenizer.encode("<think>2+3=5. wait</think>5 yes"), tokenizer.end_id, tokenizer.pad_id, 2]
    assert tokenizer.decode(np.array(ids)) == "<think>2+3=5. wait</think>5 yes"
    assert {8, 9} <= set(tokenizer.hf.all_special_ids), "the tags must be special tokens here, or this tests nothing"
    assert tokenizer.decode(np.array([], dtype=np.int64)) == ""


def test_decode_survives_foreign_ids(tokenizer):
    """A model's output layer may be wider than its tokenizer."""
    assert tokenizer.decode(np.array([14, 9999, -3, 15])) == tokenizer.decode(np.array([14, 15]))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(text=st.text(" \n0123456789+-*=?.abcyesnowait", max_size=40))
def test_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_pad_may_be_missing(hf_tokenizer):
    assert ChatTokenizer(changed(hf_tokenizer, pad_token=None)).pad_id == 3
    assert ChatTokenizer(hf_tokenizer).pad_id == 0


def test_vocab_size_counts_added_tokens(hf_tokenizer):
    other = copy.deepcopy(hf_tokenizer)
    other.add_tokens(["hmm"])
    assert ChatTokenizer(other).vocab_size == ChatTokenizer(hf_tokenizer).vocab_size + 1 == 59


def test_saved_tokenizers_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    turns = [Turn("user", "2+3")]
    assert again.prompt(turns).tolist() == tokenizer.prompt(turns).tolist()
    assert (again.eos_ids, again.end_id, again.pad_id) == (tokenizer.eos_ids, tokenizer.end_id, tokenizer.pad_id)


def test_a_folder_without_tokenizer_is_named(tmp_path):
    with pytest.raises(BackendError, match=str(tmp_path)) as caught:
        load_tokenizer(tmp_path)
    assert "tokenizer.json" in str(caught.value)
