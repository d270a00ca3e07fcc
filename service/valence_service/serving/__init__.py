"""The use cases, free of any transport: one text, a batch, a stream."""
