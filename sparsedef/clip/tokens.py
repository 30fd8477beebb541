"""open_clip's tokenizer with only the ids that a small world needs, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def open_clip_tokenizer() -> Any:
    """Gives open_clip's byte-pair tokenizer.

    Raises:
        ImportError: open_clip is not installed.
    """
    try:
        from open_clip import SimpleTokenizer
    except ImportError as error:
        raise ImportError(
            "sparsedef.clip: open_clip is not installed (pip install 'sparsedef[clip]')"
        ) from error
    return SimpleTokenizer()


class SmallTokenizer:
    """Texts to ids ``[n, L]`` of a small table, padded with 0.

    open_clip's table of 49,408 tokens would be most of a small model's weights. The ids in use are
    numbered anew from 1 in their old order, so that the end of a text is still the largest id, by
    which open_clip finds it.

    Args:
        ids: open_clip's ids in use, ascending, begin and end of text among them.
        length: L, tokens of a text with its begin and end.

    Raises:
        ValueError: A text has words that are not in the table, or too many of them.
    """

    def __init__(self, ids: Sequence[int], length: int) -> None:
        """Keeps the table; see the class."""
        self.ids = tuple(ids)
        self.length = length
        self.number = {token: number for number, token in enumerate(self.ids, start=1)}
        self.tokenizer = open_clip_tokenizer()
        assert self.ids[-1] == self.tokenizer.eot_token_id

    @property
    def n_tokens(self) -> int:
        """Rows of the table, the padding's among them."""
        return len(self.ids) + 1

    @classmethod
    def for_texts(cls, texts: Sequence[str], length: int) -> SmallTokenizer:
        """Makes the table of the words of ``texts``."""
        tokenizer = open_clip_tokenizer()
        used = {tokenizer.sot_token_id, tokenizer.eot_token_id}
        for text in texts:
            used.update(tokenizer.encode(text))
        return cls(sorted(used), length)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Gives the ids of ``texts``, ``[n, L]`` int64."""
        start, end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        result = torch.zeros(len(texts), self.length, dtype=torch.int64)
        for row, text in enumerate(texts):
            tokens = self.tokenizer.encode(text)
            unknown = [self.tokenizer.decode([t]).strip() for t in tokens if t not in self.number]
            if unknown:
                raise ValueError(
                    f"SmallTokenizer: texts must be of the words that the small CLIP knows, got "
                    f"{text!r} with {', '.join(map(repr, unknown))} (another CLIP knows more: "
                    f"load_clip('ViT-B-16', pretrained=...))"
                )
            if len(tokens) > self.length - 2:
                raise ValueError(
                    f"SmallTokenizer: texts must have at most {self.length - 2} tokens, got "
                    f"{len(tokens)} in {text!r}"
                )
            ids = [self.number[token] for token in (start, *tokens, end)]
            result[row, : len(ids)] = torch.tensor(ids)
        return result
