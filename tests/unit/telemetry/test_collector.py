"""Which collector the settings and the standard variables mean."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from internal.errors import Invalid
from internal.telemetry.collector import Collector, Transport, find_collector


def find(
    endpoint: str = "",
    *,
    transport: Transport = Transport.HTTP,
    insecure: bool = False,
    headers: str = "",
    ca_file: str = "",
    environ: Mapping[str, str] | None = None,
) -> Collector:
    return find_collector(
        transport=transport,
        endpoint=endpoint,
        insecure=insecure,
        ca_file=ca_file,
        headers=headers,
        environ=environ or {},
    )


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://collector", "https://collector"),
        ("https://collector:4318/", "https://collector:4318"),
        ("https://host/api/public/otel", "https://host/api/public/otel"),
        ("https://host/otlp/v1/traces", "https://host/otlp"),
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("collector:4318", "https://collector:4318"),
        ("[::1]:4318", "https://[::1]:4318"),
        ("", "http://localhost:4318"),
    ],
)
def test_fault_a30_the_endpoint_says_whether_there_is_tls(endpoint: str, url: str) -> None:
    """
    Version A's form, host and port, has TLS like any other; plain is what says so.
    """
    assert find(endpoint).url == url
    assert find(endpoint).traces_url == f"{url}/v1/traces"


def test_plain_must_be_asked_for_where_the_endpoint_does_not_say() -> None:
    """
    `tracing.insecure` is for an address without a scheme, and contradicts https.
    """
    assert find("collector:4318", insecure=True).url == "http://collector:4318"
    with pytest.raises(Invalid) as refusal:
        find("https://collector", insecure=True)
    assert set(refusal.value.fields) == {"tracing.insecure"}


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://collector",
        "https://",
        "collector:port",
        "https://user:password@collector",
        "https://collector?token=1",
        "http://[::1",
    ],
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    """
    A password belongs into the headers, which nobody is shown.
    """
    with pytest.raises(Invalid) as refusal:
        find(endpoint)

    assert set(refusal.value.fields) == {"tracing.endpoint"}
    assert "password@" not in refusal.value.message


def test_the_standard_variables_fill_what_is_empty() -> None:
    """
    Settings win over them; gRPC has a port of its own.
    """
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://theirs:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20cGFzc3dvcmQ=, x-team=a%2Cb",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc/ca.pem",
    }

    found = find(environ=environ)

    assert (found.url, found.ca_file) == ("https://theirs:4318", "/etc/ca.pem")
    assert found.headers == {"authorization": "Basic cGFzc3dvcmQ=", "x-team": "a,b"}
    assert find("https://ours", headers="a=b", environ=environ).headers == {"a": "b"}
    assert find(transport=Transport.GRPC).url == "http://localhost:4317"


def test_headers_are_secrets() -> None:
    """
    What stands behind the scheme of an authorization is one by itself, and none is shown.
    """
    found = find(headers="authorization=Bearer a-long-token")

    assert set(found.secrets()) == {"Bearer a-long-token", "a-long-token"}
    assert "a-long-token" not in repr(found)


@pytest.mark.parametrize("headers", ["novalue", "=x", "grün=x"])
def test_headers_that_are_none_are_refused(headers: str) -> None:
    """
    At start, not with the first export.
    """
    with pytest.raises(Invalid):
        find(headers=headers)
