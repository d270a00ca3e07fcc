"""The embedded sentiment model: an ordinary Hugging Face folder, shipped as package data.

>>> import transformers, valence_model
>>> transformers.pipeline("sentiment-analysis", model=valence_model.path())("Lovely.")
"""

from importlib.resources import files

NAME = "valence-minilm-l6"


def path() -> str:
    """Return the model's folder: config.json, tokenizer files and model.safetensors."""
    return str(files(__name__) / NAME)
