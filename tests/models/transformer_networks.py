"""Transformers as torch modules of our own, weights random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention with one projection for all three inputs."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention over the second axis."""
        batch, length, width = x.shape
        size = width // self.heads
        qkv = self.projection(x).reshape(batch, length, 3, self.heads, size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * size**-0.5
        mixed = scores.softmax(-1) @ v
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


class EncoderLayer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the feed-forward network, each added to its input."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class VisionTransformer(nn.Module):
    """ViT: patches, a class token, an encoder, a linear head."""

    def __init__(
        self, width: int = 768, depth: int = 12, heads: int = 12, side: int = 224
    ) -> None:
        super().__init__()
        patches = (side // 16) ** 2
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        token = self.class_token.expand(x.shape[0], -1, -1)
        x = self.layers(torch.cat((token, x), 1) + self.positions)
        return self.head(self.norm(x)[:, 0])


class BertLayer(nn.Module):
    """A post-norm transformer layer with separate projections and a mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attention with an additive mask, then the feed-forward network."""
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = self.norm1(x + self.output(mixed))
        return self.norm2(x + self.narrow(nn.functional.gelu(self.widen(x))))


class Bert(nn.Module):
    """BERT, base unless told otherwise, as a function of token ids and their mask."""

    def __init__(
        self, width: int = 768, depth: int = 12, heads: int = 12, tokens: int = 30522
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(tokens, width)
        self.positions = nn.Embedding(512, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(BertLayer(width, heads) for _ in range(depth))
        self.pooler = nn.Linear(width, width)
        self.register_buffer("position_ids", torch.arange(512)[None])
        for embedding in (self.words, self.positions, self.types):
            nn.init.normal_(embedding.weight, 0.0, 0.02)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The last hidden state and the pooled one."""
        positions = self.get_buffer("position_ids")[:, : input_ids.shape[1]]
        types = torch.zeros_like(input_ids)
        x = self.words(input_ids) + self.positions(positions) + self.types(types)
        x = self.norm(x)
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * torch.finfo(
            x.dtype
        ).min
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))


class DecoderLayer(nn.Module):
    """A layer of GPT-2: causal attention over what is cached and what is new."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * width, width),
        )

    def forward(
        self, x: Tensor, mask: Tensor, past: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's result, and all keys and values so far."""
        batch, length, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        q, k, v = map(split, self.projection(self.norm1(x)).split(width, 2))
        if past:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.output(mixed)
        return x + self.feed_forward(self.norm2(x)), k, v


class Gpt2(nn.Module):
    """GPT-2 (small) with its output layer; the tokens may follow cached ones."""

    def __init__(
        self, width: int = 768, depth: int = 12, heads: int = 12, tokens: int = 50257
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(tokens, width)
        self.positions = nn.Embedding(1024, width)
        self.layers = nn.ModuleList(DecoderLayer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        causal = torch.ones(1024, 1024, dtype=torch.bool).tril()
        self.register_buffer("causal", causal[None, None])
        for embedding in (self.words, self.positions):
            nn.init.normal_(embedding.weight, 0.0, 0.02)

    def forward(self, input_ids: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Scores of the next token at each place; keys and values of all layers."""
        start = past[0].shape[2] if past else 0
        length = input_ids.shape[1]
        end = start + length
        places = torch.arange(start, end, device=input_ids.device)
        x = self.words(input_ids) + self.positions(places)
        mask = self.get_buffer("causal")[:, :, start:end, :end]
        cache: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            x, k, v = layer(x, mask, past[2 * index : 2 * index + 2])
            cache += [k, v]
        scores = self.norm(x) @ self.words.weight.T
        return scores, *cache
