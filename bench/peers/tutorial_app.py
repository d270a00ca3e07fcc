"""Serve as tutorials do: FastAPI, one pipeline, one call for each request in a thread.

Run it with uvicorn; MODEL names the folder.
"""

import asyncio
import os

import transformers
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
classify = transformers.pipeline("sentiment-analysis", model=os.environ["MODEL"])


class Request(BaseModel):
    """A text to classify."""

    text: str


@app.post("/classify")
async def answer(request: Request) -> dict[str, str | float]:
    """Return label and score as the pipeline gives them."""
    result = await asyncio.to_thread(classify, request.text, truncation=True)
    return dict(result[0])
