"""Flags, environment, defaults; and one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from valence_service.arguments import read_settings
from valence_service.setting_errors import SettingsError


def read(*arguments: str, **environment: str) -> object:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return read_settings(arguments)


def refused(*arguments: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(*arguments, **environment)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_defaults() -> None:
    settings = read_settings([])
    assert (settings.host, settings.port, settings.model) == ("127.0.0.1", 50051, None)
    assert (settings.max_batch_texts, settings.max_batch_tokens) == (64, 4096)
    assert (settings.max_queue_texts, settings.max_text_bytes) == (1024, 65536)
    assert (settings.max_text_tokens, settings.self_check) == (2048, True)
    assert (settings.grace_seconds, settings.workers, settings.device) == (10.0, None, "auto")
    assert (settings.engine, settings.precision, settings.prepare) == ("auto", "auto", False)
    assert (settings.insecure, settings.allow_pickle, settings.public_health) == (
        False,
        False,
        True,
    )


def test_every_setting_is_a_flag_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "HOST": "::1",
        "PORT": "0",
        "MODEL": "some/model",
        "REVISION": "abc",
        "ENGINE": "openvino",
        "PRECISION": "bf16",
        "DEVICE": "cpu",
        "CACHE_DIR": "/some/folder",
        "PREPARE": "true",
        "LABEL_VALENCE": "LABEL_0=-1",
        "CORES": "2",
        "WORKERS": "3",
        "PROCESSES": "4",
        "MAX_BATCH_TEXTS": "5",
        "MAX_BATCH_TOKENS": "99",
        "MAX_QUEUE_TEXTS": "7",
        "MAX_TEXT_BYTES": "8",
        "MAX_TEXT_TOKENS": "17",
        "EXIT_CONFIDENCE": "0.9",
        "MAX_DOCUMENT_BYTES": "13",
        "MAX_SENTENCES": "14",
        "GRACE_SECONDS": "1.5",
        "HANG_SECONDS": "2.5",
        "TLS_CERTIFICATE": "/some/certificate",
        "TLS_KEY": "/some/key",
        "TLS_CLIENT_CA": "/some/ca",
        "TOKEN_FILE": "/some/tokens",
        "METRICS_PORT": "9464",
        "METRICS_HOST": "::",
        "HTTP_PORT": "8080",
        "HTTP_HOST": "::",
        "HTTP_ALLOWED_ORIGINS": "https://example.com",
        "OPEN_INFERENCE": "true",
        "PUBLIC_HEALTH": "true",
        "PUBLIC_REFLECTION": "true",
        "INSECURE": "true",
        "MAX_CONNECTION_CALLS": "10",
        "MAX_CONNECTION_IDLE_SECONDS": "11",
        "MAX_CONNECTION_AGE_SECONDS": "12",
        "ALLOW_PICKLE": "true",
        "EXIT_WHEN_DEGRADED": "true",
        "SELF_CHECK": "true",
        "VERBOSE": "true",
    }
    flags = []
    for name, value in values.items():
        flag = "--" + name.lower().replace("_", "-")
        flags += [flag] if value == "true" else [flag, value]
    by_flag = read_settings(flags)
    for name, value in values.items():
        monkeypatch.setenv("VALENCE_" + name, value)
    by_variable = read_settings([])
    assert by_flag == by_variable
    assert set(values) == {name.upper() for name in type(by_flag).model_fields}


def test_the_cache_is_where_the_desktop_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert read_settings([]).cache_dir == Path("/caches/valence")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert read_settings([]).cache_dir == Path("/home/someone/.cache/valence")


def test_flags_go_before_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALENCE_PORT", "1")
    assert read_settings(["--port", "2"]).port == 2
    assert read_settings(["-v"]).verbose


# The most that each flag takes.
SECONDS = {
    "--grace-seconds": 3600,
    "--hang-seconds": 3600,
    "--max-connection-idle-seconds": 86400,
    "--max-connection-age-seconds": 86400,
}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--prt", "1"], "did you mean --port?"),
        (["--port", "x"], "--port 'x'"),
        (["--port", "70000"], "less than or equal to 65535"),
        (["--workers", "0"], "--workers '0'"),
        (["--cores", "0"], "--cores '0'"),
        (["--max-batch-texts", "0"], "greater than or equal to 1"),
        (["--grace-seconds", "soon"], "--grace-seconds 'soon'"),
        (["--label-valence", "LABEL_0"], "'LABEL_0' is not LABEL=NUMBER"),
        (["--model", ""], "--model ''"),
        *(
            ([f"{flag}={wrong}"], f"{flag} '{wrong}': should be less than or equal to {most}")
            for flag, most in SECONDS.items()
            for wrong in ("1e12", "inf", "nan")
        ),
        *(([f"{flag}=-1"], f"{flag} '-1': should be greater than") for flag in SECONDS),
        (["--hang-seconds", "0"], "--hang-seconds '0': should be greater than 0"),
        (["--host", "127.0.0.1:50051"], "--host '127.0.0.1:50051': give a name or an IP address"),
        (["--host", "[::1]:50051"], "--host '[::1]:50051': give a name or an IP address"),
        (["--host", "http://127.0.0.1"], "--host 'http://127.0.0.1': give a name or an IP"),
        (["--host", " 127.0.0.1"], "--host ' 127.0.0.1': give a name or an IP address"),
        (["--host", "[localhost]"], "--host '[localhost]': give a name or an IP address"),
        (["--metrics-host", "unix:/run/a"], "--metrics-host 'unix:/run/a': give a name or an IP"),
        (["--host", "unix:"], "--host 'unix:': give the path of a file after unix:"),
        (["--host", "unix:/run/"], "--host 'unix:/run/': give the path of a file after unix:"),
        (["--host", "unix://run/a"], "write unix:PATH, or unix:///PATH"),
        (["--host", "unix:/" + "x" * 107], "give a path of at most 107 bytes"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_flag_is_named(arguments: list[str], says: str) -> None:
    assert says in refused(*arguments)


def test_a_wrong_variable_is_named() -> None:
    assert "VALENCE_WORKERS 'many'" in refused(VALENCE_WORKERS="many")
    unknown = refused(VALENCE_MAX_QUEUE_TEXT="5")
    assert "unknown setting VALENCE_MAX_QUEUE_TEXT" in unknown
    assert "did you mean VALENCE_MAX_QUEUE_TEXTS?" in unknown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "unix:/run/a"])
def test_plaintext_is_for_this_machine(host: str) -> None:
    assert read_settings(["--host", host]).host == host


def test_brackets_of_an_address_are_left_out() -> None:
    settings = read_settings(["--host", "[::1]", "--metrics-host", "[::]", "--metrics-port", "0"])
    assert (settings.host, settings.metrics_host) == ("::1", "::")
    assert "say --insecure" in refused("--host", "[::]")


def test_a_flag_without_its_value_is_not_another_flag() -> None:
    assert "did you mean" not in refused("--hang-seconds", "-inf")


ALL = "0.0.0.0"  # noqa: S104  nobody listens there


@pytest.mark.parametrize("host", [ALL, "::", "10.0.0.1", "example.org", "127.0.0.1.example"])
def test_plaintext_for_others_must_be_asked_for(host: str) -> None:
    assert "say --insecure" in refused("--host", host)
    assert read_settings(["--host", host, "--insecure"]).insecure
    assert read_settings(["--host", host, "--tls-certificate", "c", "--tls-key", "k"]).tls_key


def test_certificate_and_key_go_together() -> None:
    assert "give both" in refused("--tls-certificate", "c")
    assert "give both" in refused("--tls-key", "k")
    assert "--tls-client-ca needs" in refused("--tls-client-ca", "c")


def test_health_can_be_closed() -> None:
    assert not read_settings(["--no-public-health", "--token-file", "t"]).public_health


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--revision", "main"], "--revision is of a model on the hub: name it with --model"),
        (["--metrics-host", "::1"], "--metrics-host needs --metrics-port"),
        (["--metrics-host", "127.0.0.1"], "--metrics-host needs --metrics-port"),
        (["--no-public-health"], "--no-public-health need --token-file"),
        (["--public-reflection"], "--public-reflection and --no-public-health need --token-file"),
        (["--label-valence", "a=1,b=0,a=-1"], "'a' is named twice: give each label one valence"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(arguments: list[str], says: str) -> None:
    assert says in refused(*arguments)


def test_a_variable_that_would_do_nothing_is_refused() -> None:
    assert "--metrics-host needs --metrics-port" in refused(VALENCE_METRICS_HOST="::")
    assert "name it with --model" in refused(VALENCE_REVISION="main")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VALENCE_ADDRESS", "elsewhere:1"),
        ("VALENCE_CLIENT_TOKEN_FILE", "token"),
        ("VALENCE_CLIENT_ADDED_LATER", "3"),
        ("VALENCE_SERVICE_HOST", "10.0.0.1"),
        ("VALENCE_CANARY_SERVICE_PORT", "50051"),
        ("VALENCE_SERVICE_PORT_GRPC", "50051"),
        ("VALENCE_CANARY_PORT", "tcp://10.0.0.1:50051"),
        ("VALENCE_CANARY_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("VALENCE_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("VALENCE_PORT_50051_TCP_PROTO", "tcp"),
        ("VALENCE_DNS_PORT_53_UDP_PORT", "53"),
    ],
)
def test_variables_of_the_client_and_of_kubernetes_are_not_settings(name: str, value: str) -> None:
    assert read(**{name: value}) == read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VALENCE_METRIC_PORT", "9464"),
        ("VALENCE_ADDRESSES", "elsewhere:1"),
        ("VALENCE_CLIENT", "1"),
        ("VALENCE_TLS_CLIENT_CAS", "ca.pem"),
        ("VALENCE_SERVICE_PORT", "http"),
    ],
)
def test_a_variable_like_those_is_an_unknown_setting(name: str, value: str) -> None:
    assert f"unknown setting {name}" in refused(**{name: value})


def test_the_port_of_a_kubernetes_service_is_explained() -> None:
    assert "enableServiceLinks" in refused(VALENCE_PORT="tcp://10.0.0.1:50051")


def test_a_path_that_grpc_would_decode() -> None:
    assert "without %" in refused("--host", "unix:/run/a%20b")
