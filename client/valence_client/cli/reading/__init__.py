"""Rows of files: lines, CSV and TSV, JSONL, Parquet. None is ever read whole."""
