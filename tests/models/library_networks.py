"""Networks built by the `transformers` package; some weights are trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn


class _FirstOutput(nn.Module):
    """A network of images or features with one output, called by position."""

    def __init__(self, network: nn.Module, output: str) -> None:
        super().__init__()
        self.network = network
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """The output of that name."""
        return getattr(self.network(x), self.output)


class _TokenEncoder(nn.Module):
    """An encoder of token ids and their mask."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last hidden state."""
        result: Any = self.network(input_ids=input_ids, attention_mask=attention_mask)
        return result.last_hidden_state


def swin_t() -> nn.Module:
    """Swin-T for 224x224 images."""
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig()
    config.num_labels = 1000
    return _FirstOutput(SwinForImageClassification(config), "logits")


def convnext_t() -> nn.Module:
    """ConvNeXt-T for 224x224 images."""
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig()
    config.num_labels = 1000
    network = ConvNextForImageClassification(config)
    for name, parameter in network.named_parameters():
        if name.endswith("layer_scale_parameter"):
            # As training leaves them; they start at 1e-6, which hides the blocks.
            nn.init.uniform_(parameter, 0.1, 0.5)
    return _FirstOutput(network, "logits")


def whisper_encoder() -> nn.Module:
    """The encoder of Whisper's tiny size: 30 seconds of 80 mel bands."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        num_mel_bins=80,
    )
    return _FirstOutput(WhisperEncoder(config), "last_hidden_state")


def minilm(folder: Path) -> nn.Module:
    """all-MiniLM-L6-v2 with its trained weights, from a folder that holds them."""
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    network = BertModel(
        BertConfig.from_json_file(str(folder / "config.json")), add_pooling_layer=False
    )
    weights = load_file(folder / "model.safetensors")
    missing, _ = network.load_state_dict(weights, strict=False)
    if missing:
        raise RuntimeError(f"the weights lack {missing}")
    return _TokenEncoder(network)
