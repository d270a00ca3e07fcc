"""Asks a server as the protocol's own clients do: clients.py CLIENT ADDRESS FILE.

FILE holds the model's name and batches of texts as JSON; a JSON object with what came back is
printed. It runs in an environment of its own, which `make clients` sets up.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np

DEADLINE_SECONDS = 60
OUTPUTS = ("label", "score", "valence", "scores")
REQUESTED = ("scores", "label")


def as_lists(arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
    """Arrays as JSON takes them, their shapes kept."""
    lists = {name: array.tolist() for name, array in arrays.items()}
    lists["label"] = [
        label.decode() if isinstance(label, bytes) else label for label in lists["label"]
    ]
    return lists


class Triton:
    """tritonclient, with threads or with asyncio: they differ in who waits."""

    def __init__(self, address: str, *, aio: bool) -> None:
        import tritonclient.grpc
        import tritonclient.grpc.aio

        self._grpc = tritonclient.grpc
        module = tritonclient.grpc.aio if aio else tritonclient.grpc
        self._client = module.InferenceServerClient(address)

    async def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        made = getattr(self._client, name)(*arguments, **options)
        return await made if asyncio.iscoroutine(made) else made

    async def facts(self, model: str) -> dict[str, Any]:
        """What the tools ask besides, without inference."""
        metadata = await self._call("get_model_metadata", model)
        config = (await self._call("get_model_config", model)).config
        index = await self._call("get_model_repository_index")
        return {
            "live": await self._call("is_server_live"),
            "ready": await self._call("is_server_ready"),
            "model ready": await self._call("is_model_ready", model),
            "server": (await self._call("get_server_metadata")).name,
            "inputs": [[t.name, t.datatype, list(t.shape)] for t in metadata.inputs],
            "outputs": [[t.name, t.datatype, list(t.shape)] for t in metadata.outputs],
            "config": [config.name, config.max_batch_size, [t.name for t in config.output]],
            "types": [self._type_name(tensor) for tensor in (*config.input, *config.output)],
            "index": [[m.name, m.state] for m in index.models],
        }

    @staticmethod
    def _type_name(tensor: Any) -> str:
        enum = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type
        return str(enum.values_by_number[tensor.data_type].name)

    async def infer(
        self, model: str, texts: list[str], outputs: tuple[str, ...] = (), **options: Any
    ) -> dict[str, list[Any]]:
        """Every output, or those that are named."""
        tensor = self._grpc.InferInput("text", [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_))
        requested = [self._grpc.InferRequestedOutput(name) for name in outputs] or None
        result = await self._call(
            "infer",
            model,
            [tensor],
            outputs=requested,
            request_id="mine",
            client_timeout=DEADLINE_SECONDS,
            **options,
        )
        assert result.get_response().id == "mine"
        names = [output.name for output in result.get_response().outputs]
        return as_lists({name: result.as_numpy(name) for name in names})

    async def error(self, model: str, texts: list[str], **options: Any) -> list[str]:
        """The code and the message of a call that fails."""
        from tritonclient.utils import InferenceServerException

        try:
            await self.infer(model, texts, **options)
        except InferenceServerException as error:
            return [error.status().removeprefix("StatusCode."), error.message()]
        return ["OK", ""]

    async def close(self) -> None:
        """Close the channel."""
        await self._call("close")


class KServe:
    """kserve, which sends arrays raw and lists typed."""

    def __init__(self, address: str, *, raw: bool) -> None:
        import kserve

        self._kserve = kserve
        self._raw = raw
        self._client = kserve.InferenceGRPCClient(address, timeout=DEADLINE_SECONDS)

    async def facts(self, model: str) -> dict[str, Any]:
        """All that this client can ask."""
        return {
            "live": await self._client.is_server_live(),
            "ready": await self._client.is_server_ready(),
            "model ready": await self._client.is_model_ready(model),
        }

    async def infer(
        self, model: str, texts: list[str], outputs: tuple[str, ...] = (), **options: Any
    ) -> dict[str, list[Any]]:
        """Every output, or those that are named."""
        from kserve.protocol.infer_type import RequestedOutput

        data: Any = list(texts)
        if self._raw:
            data = np.array([text.encode() for text in texts], dtype=np.object_)
        tensor = self._kserve.InferInput("text", [len(texts)], "BYTES", data)
        request = self._kserve.InferRequest(
            model_name=model,
            infer_inputs=[tensor],
            request_id="mine",
            request_outputs=[RequestedOutput(name) for name in outputs] or None,
            **options,
        )
        response = await self._client.infer(request)
        assert response.id == "mine"
        return as_lists({output.name: output.as_numpy() for output in response.outputs})

    async def error(self, model: str, texts: list[str], **options: Any) -> list[str]:
        """The code and the message of a call that fails."""
        try:
            await self.infer(model, texts, **options)
        except grpc.aio.AioRpcError as error:
            return [error.code().name, error.details() or ""]
        return ["OK", ""]

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()


CLIENTS: dict[str, Any] = {
    "triton": lambda address: Triton(address, aio=False),
    "triton-aio": lambda address: Triton(address, aio=True),
    "kserve-raw": lambda address: KServe(address, raw=True),
    "kserve-typed": lambda address: KServe(address, raw=False),
}


async def main(name: str, address: str, given: dict[str, Any]) -> None:
    """Make every call and print what came back."""
    model = given["model"]
    client = CLIENTS[name](address)
    said = {
        "facts": await client.facts(model),
        "answers": [await client.infer(model, texts) for texts in given["batches"]],
        "requested": list(await client.infer(model, ["good"], REQUESTED)),
        "errors": {
            "model": await client.error("other", ["good"]),
            "version": await client.error(model, ["good"], model_version="2"),
            "text": await client.error(model, ["good", " "]),
            "texts": await client.error(model, ["good"] * 65),
        },
    }
    await client.close()
    print(json.dumps(said))


if __name__ == "__main__":
    _, chosen, server, file = sys.argv
    asyncio.run(main(chosen, server, json.loads(Path(file).read_text(encoding="utf-8"))))
