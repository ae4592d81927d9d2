"""
Where traces go: one OpenTelemetry collector, from our settings or from the standard variables.

Pure. The scheme decides about TLS: `https` has it, `http` has not, and an address without a scheme
has it unless `tracing.insecure` says otherwise. Agents that report by themselves (`cli.<agent>.
telemetry`) are told the same place, but never the headers, which hold its password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from internal.errors import Invalid

_TRACES = "/v1/traces"
_DEFAULT_PORTS = {"http/protobuf": 4318, "grpc": 4317}


class Transport(StrEnum):
    """OTLP's two ways, by the names of `OTEL_EXPORTER_OTLP_PROTOCOL`."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """
    A collector. `url` is its base, without `/v1/traces` and without a slash at the end.

    `ca_file` None means the machine's certificate authorities.
    """

    url: str
    transport: Transport
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    ca_file: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is spoken to without TLS."""
        return self.url.startswith("http://")

    @property
    def traces_url(self) -> str:
        """What OTLP over HTTP posts to."""
        return self.url + _TRACES

    def secrets(self) -> tuple[str, ...]:
        """What must not appear anywhere: the values of its headers, whole and without a scheme."""
        values = [value.strip() for value in self.headers.values()]
        return tuple(part for value in values for part in (value, value.rpartition(" ")[2]))


def find_collector(
    *,
    transport: Transport,
    endpoint: str,
    insecure: bool,
    ca_file: str,
    headers: str,
    environ: Mapping[str, str],
) -> Collector:
    """
    The collector of these settings; what is empty comes from `OTEL_EXPORTER_OTLP_ENDPOINT`,
    `_HEADERS` and `_CERTIFICATE`, else it is the one on this machine.

    Raises:
        Invalid: an address that is none, or settings that contradict each other.
    """
    port = _DEFAULT_PORTS[transport]
    given = endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    authorities = ca_file or environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE", "")
    said = headers or environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "")
    return Collector(
        url=_base(given or f"http://localhost:{port}", insecure=insecure),
        transport=transport,
        headers=_headers(said or environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
        ca_file=authorities or None,
    )


def _base(endpoint: str, *, insecure: bool) -> str:
    if "://" not in endpoint:
        endpoint = f"{'http' if insecure else 'https'}://{endpoint}"
    try:
        parts = urlsplit(endpoint)
        has_host = bool(parts.hostname)
        _ = parts.port  # raises for what is no number
    except ValueError:
        has_host = False
        parts = urlsplit("")
    if not has_host or parts.scheme not in {"http", "https"}:
        raise _invalid("tracing.endpoint", "must be host:port, or a URL with http or https")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _invalid(
            "tracing.endpoint", "must have no password, query or fragment: use tracing.headers"
        )
    if insecure and parts.scheme == "https":
        raise _invalid("tracing.insecure", "contradicts the https of the endpoint")
    path = parts.path.rstrip("/").removesuffix(_TRACES)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, values percent-encoded, as the standard variable has them."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = pair.partition("=")
        name = name.strip().lower()
        if not separator or not name or not name.isascii():
            raise _invalid("tracing.headers", "must be name=value,name=value")
        found[name] = unquote(value.strip())
    return found


def _invalid(setting: str, complaint: str) -> Invalid:
    return Invalid(f"{setting} {complaint}.", fields={setting: complaint})
