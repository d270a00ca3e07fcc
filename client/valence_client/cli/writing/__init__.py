"""Records of sentiments: JSONL, CSV and TSV, a table for people. One for each row, in order."""
