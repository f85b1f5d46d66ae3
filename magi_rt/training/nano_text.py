"""The built-in world's text encoder: a small T5 and its tokenizer, learned from its own prompts.

The tokenizer splits words and punctuation, then merges frequent byte pairs (Sennrich et al. 2016);
its alphabet is all 256 bytes, so that every text has tokens and "unknown" does not exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magi_rt.models.caption_cleaning import clean_prompt
from magi_rt.models.text_encoder import quiet_transformers

CHANNELS = 128
VOCABULARY = 768  # most tokens; a small grammar of prompts needs fewer
SAID_OFTEN = 2  # times that prompts say a word which gets a token
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SHAPE: dict[str, Any] = {
    "d_model": CHANNELS,
    "d_ff": 256,
    "d_kv": 32,
    "num_heads": 4,
    "num_layers": 2,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
    "is_encoder_decoder": False,
    "use_cache": False,
    "tie_word_embeddings": False,
}


def build_text_encoder(prompts: Iterable[str], seed: int) -> tuple[Any, Any]:
    """A T5EncoderModel with random weights and a tokenizer that knows the prompts' words.

    Args:
        prompts: what the world is told, each prompt once or as often as it occurs.
        seed: of the weights; the caller's random state is left as it was.

    Returns:
        (model, tokenizer), both of transformers; the model is float32 and in training mode.
    """
    from transformers import T5Config, T5EncoderModel

    tokenizer = build_tokenizer(prompts)
    config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, **SHAPE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5EncoderModel(config)
    return model.train(), tokenizer


def regrown_text_encoder(model: Any, tokenizer: Any, prompts: Iterable[str]) -> tuple[Any, Any]:
    """A trained encoder for the words of other prompts, which knows the old words still.

    A token that is new starts as the mean of the old tokens that spelled it.

    Returns:
        (model, tokenizer); the given ones where no word of the prompts needs a new token.
    """
    prompts, known = list(prompts), tokenizer.get_vocab()
    split = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    said = Counter(word for prompt in prompts for word, _ in split(clean_prompt(prompt)))
    if all(word in known for word, count in said.items() if count >= SAID_OFTEN):
        return model, tokenizer
    old = [tokenizer.convert_tokens_to_string([token]) for token in known]
    old_words = [text for text in old if text.startswith(" ")]
    wider = build_tokenizer(prompts + old_words * SAID_OFTEN)
    weights = model.shared.weight.detach()
    rows = []
    for token in wider.convert_ids_to_tokens(range(len(wider))):
        ids = [known[token]] if token in known else _spelled(tokenizer, wider, token)
        rows.append(weights[ids].mean(0))
    model.resize_token_embeddings(len(wider), mean_resizing=False)
    with torch.no_grad():
        model.shared.weight.copy_(torch.stack(rows))
    return model, wider


def _spelled(old: Any, new: Any, token: str) -> list[int]:
    text = new.convert_tokens_to_string([token])
    ids: list[int] = old(text, add_special_tokens=False)["input_ids"]
    return ids or [old.unk_token_id]


def build_tokenizer(prompts: Iterable[str]) -> Any:
    """A PreTrainedTokenizerFast of at most ``VOCABULARY`` tokens that appends the end token."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    wrap: Any = PreTrainedTokenizerFast  # without annotations
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    # The leading space makes the first word the same token as anywhere else.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=SAID_OFTEN,
        show_progress=False,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator((clean_prompt(prompt) for prompt in prompts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=None, special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return wrap(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN)


def save_text_encoder(folder: Path, model: Any, tokenizer: Any) -> None:
    """Writes both into an existing folder, for :meth:`T5TextEncoder.from_folder`."""
    with quiet_transformers():  # whose bars would cross those of a training
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def tokenize(tokenizer: Any, prompts: Sequence[str], max_length: int) -> tuple[Tensor, Tensor]:
    """Token numbers of prompts, cleaned as they are when the world runs.

    Returns:
        ids [P, tokens] int64, padded to the longest prompt, and mask [P, tokens] bool, True for
        real tokens. An empty prompt has no real tokens.
    """
    cleaned = [_cleaned(prompt) for prompt in prompts]
    batch = tokenizer(
        cleaned, padding=True, truncation=True, max_length=max_length, return_tensors="pt"
    )
    spoken = torch.tensor([bool(text) for text in cleaned])
    return batch["input_ids"], batch["attention_mask"].bool() & spoken[:, None]


def says_nothing(prompt: str) -> bool:
    """Whether cleaning leaves nothing of a prompt; a running world takes it for "no text", too."""
    return not _cleaned(prompt)


@lru_cache(maxsize=4096)
def _cleaned(prompt: str) -> str:
    """A world's prompts come again in every batch; cleaning takes a third of a millisecond."""
    return clean_prompt(prompt)


def encode_prompts(
    model: Any, tokenizer: Any, prompts: Sequence[str], max_length: int
) -> tuple[Tensor, Tensor]:
    """Text rows with their gradients: rows [P, tokens, channels] float32, mask [P, tokens] bool.

    The real rows are those that :meth:`T5TextEncoder.encode` gives.
    """
    ids, mask = tokenize(tokenizer, prompts, max_length)
    ids, mask = ids.to(model.device), mask.to(model.device)
    return model(input_ids=ids, attention_mask=mask.long()).last_hidden_state, mask
