"""Read rows of files: lines, CSV and TSV, JSONL, Parquet. No file is held in memory whole."""
