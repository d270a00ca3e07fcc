"""Divides a text into sentences."""
