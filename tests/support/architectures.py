"""A tiny model of each architecture that transformers can classify texts with: random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tests.support.models import VOCABULARY, make_tokenizer

LABELS = ["negative", "neutral", "positive"]
MAX_TOKENS = 400
# Whatever a configuration calls its sizes.
_SIZES = {
    len(VOCABULARY): ("vocab_size",),
    16: ("kv_lora_rank", "q_lora_rank", "sliding_window", "window_size"),
    32: (
        *("d_model", "dim", "emb_dim", "embed_dim", "embedding_size", "hidden_size", "n_embd"),
        *("word_embed_proj_dim", "moe_intermediate_size", "shared_expert_intermediate_size"),
    ),
    2: (
        *("decoder_layers", "encoder_layers", "n_layer", "n_layers", "num_decoder_layers"),
        *("num_experts_per_tok", "num_hidden_layers", "num_layers"),
    ),
    4: (
        *("decoder_attention_heads", "encoder_attention_heads", "n_head", "n_heads"),
        *("num_attention_heads", "num_heads", "num_key_value_heads"),
        *("n_routed_experts", "num_experts", "num_local_experts"),
    ),
    64: (
        *("d_ff", "d_inner", "decoder_ffn_dim", "dff", "encoder_ffn_dim", "ffn_dim"),
        *("ffn_hidden_size", "hidden_dim", "intermediate_size", "n_inner"),
    ),
    8: ("d_kv", "head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"),
    520: ("max_position_embeddings", "max_seq_len", "max_seq_length", "n_ctx", "n_positions"),
    0.4: ("init_std", "initializer_range"),  # so that scores differ between texts
}
_TOKENS = {
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
_OWN: dict[str, dict[str, Any]] = {
    "bigbird_pegasus": {"attention_type": "original_full"},
    "falcon": {"head_dim": None},
    "funnel": {"num_hidden_layers": None, "block_sizes": [1, 1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 4},
    "modernbert": {"num_hidden_layers": 4},  # global attention, local twice, and global again
    "luke": {"entity_vocab_size": 8},
    "reformer": {
        "axial_pos_shape": (20, 26),
        "axial_pos_embds_dim": (16, 16),
        "attn_layers": ["local", "lsh"],
        "num_hidden_layers": None,
    },
    "t5": {"decoder_start_token_id": 0},
    # Its positions are relative: it has no limit of them.
    "xlnet": {"max_position_embeddings": None},
    "xmod": {"default_language": "en_XX"},
}
# These read pictures or tables beside texts, or have sizes that depend on each other.
LEFT_OUT = frozenset(
    {
        *("axk1", "cohere_compass_text", "gemma3", "layoutlmv2", "layoutlmv3", "lilt"),
        *(
            "ministral3",
            "mistral4",
            "modernvbert",
            "perceiver",
            "qwen3_5",
            "t5gemma",
            "t5gemma2",
            "tapas",
        ),
        *("ultravbert", "zamba", "zamba2"),
    }
)


def architectures() -> list[str]:
    """The model types that are made and tried, in order."""
    names = transformers.models.auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    return sorted(set(names) - LEFT_OUT)


def make_architecture(
    kind: str,
    folder: Path,
    *,
    max_tokens: int = MAX_TOKENS,
    padding_side: str = "right",
    **own: Any,
) -> str:
    """A tiny classifier of a model type; returns its folder."""
    torch.manual_seed(7)
    known = CONFIG_MAPPING[kind]()
    sizes = {name: size for size, names in _SIZES.items() for name in names if hasattr(known, name)}
    tokens = {name: token for name, token in _TOKENS.items() if hasattr(known, name)}
    settings = {**sizes, "pad_token_id": 0, **tokens, **_OWN.get(kind, {}), **own}
    config = CONFIG_MAPPING[kind](
        **{name: value for name, value in settings.items() if value is not None},
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model: Any = transformers.AutoModelForSequenceClassification.from_config(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    make_tokenizer(folder, model_max_length=max_tokens, padding_side=padding_side)
    return str(folder)
