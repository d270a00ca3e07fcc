"""Waiting: a bounded queue and the workers that empty it. Pure asyncio."""
