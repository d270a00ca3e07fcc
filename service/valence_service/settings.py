"""The settings, with their defaults and their limits. ``setting_rules`` has what goes together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, CliImplicitFlag, SettingsConfigDict

from valence_service.backends.labels import parse_label_valence
from valence_service.core.limits import Limits
from valence_service.setting_errors import PREFIX
from valence_service.transports.address import checked_host, checked_name


def _default_cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "valence"


def _label_valences(text: str) -> str:
    parse_label_valence(text)
    return text


class Settings(BaseSettings):
    """Serve sentiment over gRPC.

    Each flag has an environment variable: --max-queue-texts is VALENCE_MAX_QUEUE_TEXTS. A flag
    overrides its variable.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        cli_prog_name="valence-serve",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        cli_shortcuts={"verbose": "v"},
        extra="forbid",
        frozen=True,
    )

    host: Annotated[str, AfterValidator(checked_host)] = Field(
        "127.0.0.1",
        min_length=1,
        description="address to listen on, or unix:PATH for a socket that its owner may use",
    )
    port: int = Field(
        50051,
        ge=0,
        le=65535,
        description="port to listen on; 0 takes a free one; a socket has none",
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="model folder, or name on the Hugging Face hub; without it, the embedded model",
    )
    revision: str | None = Field(
        None, min_length=1, description="commit, branch or tag of the --model on the hub"
    )
    engine: Literal["auto", "pipeline", "openvino"] = Field(
        "auto",
        description="openvino (compiled for the CPU), pipeline (transformers on torch) or "
        "auto: pipeline if there is a GPU, else openvino",
    )
    precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto",
        description="number format to compute in; auto takes the fastest that the model and "
        "the processor support",
    )
    device: str = Field(
        "auto",
        min_length=1,
        description="auto, cpu, cuda or cuda:N; auto takes a GPU if there is one",
    )
    label_valence: Annotated[str, AfterValidator(_label_valences)] = Field(
        "",
        description="valence (-1 to 1) of labels whose names do not tell it, such as "
        "LABEL_0=-1,LABEL_1=1",
    )
    cores: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="cores to compute on; without it, all that CPU affinity and the cgroup's "
        "CPU quota allow",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="replicas of the model, each with a thread; without it, one for pipeline, "
        "one per core (8 at most) for openvino",
    )
    processes: int = Field(
        1,
        ge=0,
        le=256,
        description="server processes that share the port and the cores, each with a model and a "
        "queue of its own; 0 takes one for every eight cores",
    )
    cache_dir: Path = Field(
        default_factory=_default_cache_dir,
        description="folder for converted models (default: $XDG_CACHE_HOME/valence, else "
        "~/.cache/valence)",
    )
    prepare: CliImplicitFlag[bool] = Field(
        default=False, description="download and convert the model into the cache, then exit"
    )
    max_batch_texts: int = Field(
        64, ge=1, le=4096, description="most texts in a batch, and in one BatchClassify"
    )
    max_batch_tokens: int = Field(
        4096, ge=16, le=1 << 20, description="most tokens in a batch, padding included"
    )
    max_queue_texts: int = Field(
        1024, ge=1, le=1 << 20, description="most texts in the queue; the server refuses more"
    )
    max_text_bytes: int = Field(
        65536, ge=1, le=1 << 24, description="most bytes of UTF-8 in one text"
    )
    max_document_bytes: int = Field(
        65536, ge=1, le=1 << 24, description="most bytes of UTF-8 in one document"
    )
    max_sentences: int = Field(800, ge=1, le=1 << 16, description="most sentences in a document")
    max_text_tokens: int = Field(
        2048, ge=16, le=1 << 20, description="most tokens of a text that the model reads"
    )
    exit_confidence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="least score with which a text leaves a model that has exits before its last "
        "layer; 1 computes every layer; without it, the model's own",
    )
    grace_seconds: float = Field(
        10.0, ge=0, le=3600, description="seconds that accepted calls have to end after SIGTERM"
    )
    hang_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="a batch that runs longer than half of these seconds, and four times its "
        "estimate, hangs: its replica is set aside; exit with 1 if no replica recovers in the "
        "other half",
    )
    exit_when_degraded: CliImplicitFlag[bool] = Field(
        default=False,
        description="drain and exit with 1 once a replica has been broken for --hang-seconds, even "
        "if others answer",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the server's certificate chain; reread when it changes"
    )
    tls_key: Path | None = Field(
        None, description="PEM file of the certificate's key; reread when it changes"
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of an authority; clients must show a certificate that it has signed",
    )
    token_file: Path | None = Field(
        None,
        description="file of bearer tokens, one per line; each call must carry one; reread "
        "when it changes",
    )
    public_health: CliImplicitFlag[bool] = Field(
        default=True, description="answer health checks without a token"
    )
    public_reflection: CliImplicitFlag[bool] = Field(
        default=False, description="answer reflection without a token"
    )
    insecure: CliImplicitFlag[bool] = Field(
        default=False,
        description="listen in plaintext even where other machines can connect",
    )
    max_connection_calls: int = Field(
        1000,
        ge=1,
        le=1 << 20,
        description="most concurrent calls on one connection; more wait in the client",
    )
    max_connection_idle_seconds: float = Field(
        900.0,
        ge=0,
        le=86400,
        description="close a connection that is unused for these seconds; 0 is never",
    )
    max_connection_age_seconds: float = Field(
        3600.0,
        ge=0,
        le=86400,
        description="close a connection to new calls after these seconds, so that clients "
        "rebalance; 0 is never",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for Prometheus to scrape; 0 takes a free one; without it, no metrics",
    )
    metrics_host: Annotated[str, AfterValidator(checked_name)] = Field(
        "127.0.0.1",
        min_length=1,
        description="address of the metrics port: plain HTTP, open to all who can connect",
    )
    http_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for JSON, Connect, gRPC-Web and the page; 0 takes a free one; without "
        "it, no HTTP",
    )
    http_host: Annotated[str, AfterValidator(checked_name)] = Field(
        "127.0.0.1", min_length=1, description="address of the HTTP port"
    )
    http_allowed_origins: str = Field(
        "",
        description="origins whose pages may call the HTTP port, separated by commas, such as "
        "https://example.com; * is all",
    )
    open_inference: CliImplicitFlag[bool] = Field(
        default=False,
        description="answer the Open Inference Protocol (KServe, Triton) on the gRPC port as well",
    )
    allow_pickle: CliImplicitFlag[bool] = Field(
        default=False,
        description="also load weights from pickle files; they can run code: use it only for "
        "sources you trust",
    )
    self_check: CliImplicitFlag[bool] = Field(
        default=True, description="compare the model's answers, alone and in batches, at the start"
    )
    verbose: CliImplicitFlag[bool] = Field(default=False, description="log every call")

    @property
    def limits(self) -> Limits:
        """What a request may hold."""
        return Limits(
            max_text_bytes=self.max_text_bytes,
            max_batch_texts=self.max_batch_texts,
            max_document_bytes=self.max_document_bytes,
            max_sentences=self.max_sentences,
        )
