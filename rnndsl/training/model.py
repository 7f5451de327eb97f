"""The language model: embedding, recurrent layers, decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnndsl.training.config import TrainConfig
from rnndsl.training.dropout import Dropout, row_mask
from rnndsl.training.layers import LayerFactory, output_size, stream_layer
from rnndsl.training.states import State


class Output(NamedTuple):
    """What a model computes from a chunk."""

    logits: Tensor  # [T, B, V]
    state: State  # one state for each layer
    raw: Tensor  # [T, B, H], the last layer's output
    dropped: Tensor  # [T, B, H], the same after dropout


class Masks(NamedTuple):
    """What dropout takes for a whole sequence, None where it draws at each call."""

    rows: Tensor | None  # [V, 1], of the embedding
    inputs: Tensor | None  # [1, B, E]
    outputs: tuple[Tensor | None, ...]  # [1, B, H], of each layer


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that a model's parameters follow from."""

    vocabulary: int
    embedding: int
    hidden: int
    layers: int
    tied: bool


class LanguageModel(nn.Module):
    """Predicts each next token of B streams, with a state that is carried between chunks.

    Layers are stacked one by one, so that dropout between them may be locked over time; the
    state is a tuple with one entry for each layer, of whatever form the cell's state has.
    With tied embeddings the decoder shares the embedding's matrix, and a projection without
    bias stands before it where the sizes differ.
    """

    def __init__(
        self,
        sizes: Sizes,
        make_layer: LayerFactory,
        config: TrainConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.generator = generator
        self.embedding_dropout = config.embedding_dropout
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.embedding)
        widths = [sizes.embedding]
        layers: list[nn.Module] = []
        for _ in range(sizes.layers):
            layers.append(make_layer(widths[-1], sizes.hidden))
            widths.append(output_size(layers[-1], sizes.hidden))
        self.layers = nn.ModuleList(layers)
        self.widths = widths

        locked = config.dropout_kind == "locked"
        self.input_dropout = Dropout(config.input_dropout, locked, generator)
        self.dropout = Dropout(config.dropout, locked, generator)

        last = widths[-1]
        needs_projection = sizes.tied and last != sizes.embedding
        self.projection = (
            nn.Linear(last, sizes.embedding, bias=False) if needs_projection else nn.Identity()
        )
        self.decoder = nn.Linear(sizes.embedding if sizes.tied else last, sizes.vocabulary)
        self._initialise()

    def _initialise(self) -> None:
        """Embedding and decoder; the layers have initialised themselves."""
        nn.init.zeros_(self.decoder.bias)
        if self.sizes.tied:
            # One matrix serves both ends: small, so that the first logits are nearly equal.
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
            self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: State = None, masks: Masks | None = None) -> Output:
        """Logits [T, B, V] for the tokens that follow ``tokens`` [T, B]."""
        drawn = self.draw_masks(tokens.shape[1]) if masks is None else masks
        x = self.input_dropout(self._embed(tokens, drawn.rows), drawn.inputs)
        before = state if isinstance(state, tuple) else (None,) * len(self.layers)
        after: list[State] = []
        raw = x
        for layer, layer_state, mask in zip(self.layers, before, drawn.outputs, strict=True):
            raw, layer_state = layer(x, layer_state)
            after.append(layer_state)
            x = self.dropout(raw, mask)
        return Output(self.decoder(self.projection(x)), tuple(after), raw, x)

    def draw_masks(self, batch: int) -> Masks:
        """The masks of a sequence of so many examples, for all of its blocks."""
        weight, rows = self.embedding.weight, None
        if self.training and self.embedding_dropout > 0.0:
            rows = row_mask(weight, self.embedding_dropout, self.generator)
        first, *others = self.widths
        inputs = self.input_dropout.locked_mask(weight, batch, first)
        outputs = (self.dropout.locked_mask(weight, batch, width) for width in others)
        return Masks(rows, inputs, tuple(outputs))

    def stream(self, batch: int = 1) -> Callable[[Tensor], Tensor]:
        """A function from tokens [B] to logits [B, V], one step at a time from the first state.

        It computes no gradients through the layers, and takes their weights as they are now.
        """
        layers = [stream_layer(layer, batch) for layer in self.layers]

        def step(tokens: Tensor) -> Tensor:
            x = F.embedding(tokens, self.embedding.weight)
            for layer in layers:
                x = layer(x)
            logits: Tensor = self.decoder(self.projection(x))
            return logits

        return step

    def _embed(self, tokens: Tensor, rows: Tensor | None) -> Tensor:
        x = F.embedding(tokens, self.embedding.weight)
        return x if rows is None else x * F.embedding(tokens, rows)


def build_model(
    config: TrainConfig,
    vocabulary_size: int,
    make_layer: LayerFactory,
    generator: torch.Generator | None = None,
) -> LanguageModel:
    """The model of ``config``, in its dtype and on its device, initialised from its seed.

    The global random state is left as it was found.
    """
    sizes = Sizes(vocabulary_size, config.embedding_size, config.hidden, config.layers, config.tied)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = LanguageModel(sizes, make_layer, config, generator or torch.Generator())
    return model.to(device=config.device, dtype=getattr(torch, config.dtype))
