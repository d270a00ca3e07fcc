"""Write one record for each row, in order: JSONL, CSV and TSV, or a table for people."""
