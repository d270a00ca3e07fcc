"""Admission, queue, batches, replicas and their monitor. Pure asyncio."""
