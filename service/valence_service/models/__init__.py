"""Weights: the only room that imports torch, transformers and tokenizers."""
