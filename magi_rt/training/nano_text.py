"""The built-in world's text encoder: a small T5 and its tokenizer, learned from its own prompts.

The tokenizer splits words and punctuation, then merges frequent byte pairs (Sennrich et al. 2016);
its alphabet is all 256 bytes, so that every text has tokens and "unknown" does not exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from magi_rt.models.caption_cleaning import clean_prompt
from magi_rt.models.t5 import T5Config, T5Encoder
from magi_rt.models.tokenizer import END, JsonTokenizer, Tokenizer, token_ids

CHANNELS = 128
VOCABULARY = 768  # most tokens; a small grammar of prompts needs fewer
SAID_OFTEN = 2  # times that prompts say a word which gets a token
PAD, UNKNOWN = "<pad>", "<unk>"
SHAPE = {"d_model": CHANNELS, "d_ff": 256, "d_kv": 32, "num_heads": 4, "num_layers": 2}


def build_text_encoder(prompts: Iterable[str], seed: int) -> tuple[T5Encoder, JsonTokenizer]:
    """A T5 encoder with random weights and a tokenizer that knows the prompts' words.

    Args:
        prompts: what the world is told, each prompt once or as often as it occurs.
        seed: of the weights; the caller's random state is left as it was.

    Returns:
        (model, tokenizer); the model is float32 and in training mode.
    """
    tokenizer = build_tokenizer(prompts)
    config = T5Config(vocab_size=tokenizer.inner.get_vocab_size(), **SHAPE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5Encoder(config)
    return model.train(), tokenizer


def regrown_text_encoder(
    model: T5Encoder, tokenizer: JsonTokenizer, prompts: Iterable[str]
) -> tuple[T5Encoder, JsonTokenizer]:
    """A trained encoder for the words of other prompts, which knows the old words still.

    A token that is new starts as the mean of the old tokens that spelled it.

    Returns:
        (model, tokenizer); the given ones where no word of the prompts needs a new token.
    """
    prompts, known = list(prompts), tokenizer.vocabulary()
    split = tokenizer.inner.pre_tokenizer.pre_tokenize_str
    said = Counter(word for prompt in prompts for word, _ in split(clean_prompt(prompt)))
    if all(word in known for word, count in said.items() if count >= SAID_OFTEN):
        return model, tokenizer
    spoken = tokenizer.inner.decoder.decode
    old_words = [text for text in (spoken([token]) for token in known) if text.startswith(" ")]
    wider = build_tokenizer(prompts + old_words * SAID_OFTEN)
    weights = model.shared.weight.detach()
    by_number = sorted(wider.vocabulary(), key=wider.vocabulary().__getitem__)
    unknown = [known[UNKNOWN]]
    rows = [
        weights[
            [known[token]] if token in known else tokenizer.pieces(spoken([token])) or unknown
        ].mean(0)
        for token in by_number
    ]
    grown = T5Encoder(replace(model.config, vocab_size=len(rows))).train(model.training)
    grown.load_state_dict(model.state_dict() | {"shared.weight": torch.stack(rows)})
    return grown, wider


def build_tokenizer(prompts: Iterable[str]) -> JsonTokenizer:
    """A tokenizer of at most ``VOCABULARY`` tokens; its file says that the end token follows."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer

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
    return JsonTokenizer(tokenizer)


def tokenize(
    tokenizer: Tokenizer, prompts: Sequence[str], max_length: int
) -> tuple[Tensor, Tensor]:
    """Token numbers of prompts, cleaned as they are when the world runs.

    Returns:
        ids [P, tokens] int64, padded to the longest prompt, and mask [P, tokens] bool, True for
        real tokens. An empty prompt has no real tokens.
    """
    cleaned = [_cleaned(prompt) for prompt in prompts]
    said = [torch.tensor(token_ids(tokenizer, text, max_length)) for text in cleaned]
    ids = nn.utils.rnn.pad_sequence(said, batch_first=True)
    spoken = torch.tensor([bool(text) for text in cleaned])
    lengths = torch.tensor([len(tokens) for tokens in said])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]) & spoken[:, None]


def says_nothing(prompt: str) -> bool:
    """Whether cleaning leaves nothing of a prompt; a running world takes it for "no text", too."""
    return not _cleaned(prompt)


@lru_cache(maxsize=4096)
def _cleaned(prompt: str) -> str:
    """A world's prompts come again in every batch; cleaning takes a third of a millisecond."""
    return clean_prompt(prompt)


def encode_prompts(
    model: T5Encoder, tokenizer: Tokenizer, prompts: Sequence[str], max_length: int
) -> tuple[Tensor, Tensor]:
    """Text rows with their gradients: rows [P, tokens, channels] float32, mask [P, tokens] bool.

    The real rows are those that :meth:`T5TextEncoder.encode` gives.
    """
    ids, mask = tokenize(tokenizer, prompts, max_length)
    ids, mask = ids.to(model.device), mask.to(model.device)
    return model(ids, mask), mask
