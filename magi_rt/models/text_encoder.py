"""The text encoder: T5 v1.1, words -> rows of numbers (MAGI-1 paper 2.3, contract 9)."""

from __future__ import annotations

import torch
from torch import Tensor

from magi_rt.models.caption_cleaning import clean_prompt
from magi_rt.models.t5 import T5Encoder
from magi_rt.models.tokenizer import Tokenizer, token_ids


class T5TextEncoder:
    """A T5 encoder with its tokenizer, in float32.

    Args:
        model: the network, with its weights.
        tokenizer: makes its token numbers.
        max_length: tokens after which a prompt is cut, the end-of-text token included.
    """

    def __init__(self, model: T5Encoder, tokenizer: Tokenizer, max_length: int) -> None:
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length
        clean_prompt("")  # loads what it needs now, not while the first prompt waits

    @torch.inference_mode()
    def encode(self, text: str) -> Tensor:
        """Last hidden states of the cleaned text's own tokens and the end-of-text token.

        Returns:
            [tokens, channels] float32; no rows when cleaning leaves nothing of the text.
        """
        cleaned, device = clean_prompt(text), self.model.device
        if not cleaned:
            return torch.zeros(0, self.model.config.d_model, device=device)
        ids = token_ids(self.tokenizer, cleaned, self.max_length)
        rows: Tensor = self.model(torch.tensor([ids], device=device))
        return rows[0].float()
