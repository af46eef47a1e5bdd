"""An exchange that is a gRPC call: its deadline, its status, and what that says about the backend.

A call's status stands in the trailers of its reply, or in the head of one that has no body (trailers-only). So its lease is
judged at the end of the reply, where others are judged by the head's status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balance.grpc.content_type import GRPC, NOT_GRPC, WEB_TEXT, kind_of, with_kind
from balance.grpc.deadline import UNREADABLE, read_timeout_s, timeout_value
from balance.grpc.own_reply import error_lines
from balance.grpc.statuses import NONE, failure_of, read_status, status_of
from balance.http1.body import Body
from balance.http1.fields import remove_named
from balance.http1.framing import BY_LENGTH, NO_BODY
from balance.http1.head import Request, RequestFields, Response
from balance.model import Outcome, Why
from balance.proxy.buffering.upload import Upload
from balance.proxy.http.grpc.field_lookup import CONTENT_TYPE, content_type_of, value_in, value_of, value_span
from balance.proxy.http.grpc.text_upload import TextUpload
from balance.proxy.http.grpc.web_encoder import WebEncoder
from balance.proxy.http.routed.encoded_reply import EncodedReply
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime.lease import Lease
from balance.stages.stage import Reply

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

_OK: Final = Outcome.OK
_TIMEOUT: Final = b"\ngrpc-timeout:"
_STATUS: Final = b"\ngrpc-status:"
_PUSHBACK: Final = b"\ngrpc-retry-pushback-ms:"
_ATTEMPTS: Final = b"\ngrpc-previous-rpc-attempts:"
# What a call of gRPC-Web has of its own on the way here. Its body, in base64, is as long as no other.
_WEB: Final = frozenset((b"content-type", b"te", b"connection"))
_WEB_TEXT: Final = _WEB | frozenset((b"content-length", b"transfer-encoding"))
_TE: Final = b"TE: trailers\r\nConnection: TE\r\n"  # C++ servers refuse calls without it

SLACK: Final = 0.05  # of a call's time: a client that ends a call so shortly before its deadline ended it for that
MAX_PUSHBACK_S: Final = 60.0  # for longer a call is not held here: its client is told to wait
NO_PUSHBACK: Final = -1.0
NOT_AGAIN: Final = -2.0  # the server asks not to be asked again


def begin_call(exchange: Exchange) -> GrpcCall | None:
    """The call that this POST is; None for another. One of gRPC-Web is then one of gRPC. Sets its deadline."""
    request = exchange.request
    fields = request.fields
    content_type = value_in(fields, CONTENT_TYPE)
    kind = kind_of(content_type)
    if kind == NOT_GRPC:
        return None
    if kind == GRPC:
        if request.minor != 2:
            return None  # nobody speaks it over HTTP/1
    elif exchange.settings.grpc_web:
        _as_grpc(request, kind, content_type)
    else:
        return None  # the backend understands gRPC-Web, and its status is a part of the body
    value = value_in(fields, _TIMEOUT)
    call = GrpcCall(kind, fields, read_timeout_s(value) if value else UNREADABLE)
    exchange.client.limit_total(exchange.started + call.total_s(exchange.settings))
    return call


def _as_grpc(request: Request, kind: int, content_type: bytes) -> None:
    fields = request.fields
    lines = remove_named(fields.forward, _WEB if kind != WEB_TEXT else _WEB_TEXT)
    lines += b"Content-Type: %b\r\n%b" % (with_kind(content_type, GRPC), _TE)
    if kind == WEB_TEXT and fields.framing is not NO_BODY:
        lines += b"Transfer-Encoding: chunked\r\n"
    request.fields = fields.with_lines(lines)


class GrpcCall:
    """One call; made for exchanges that are one."""

    __slots__ = ("_has_spoken", "_response", "_sent_fields", "_status", "_timeout_s", "content", "encoded",
                 "failed_tries", "kind")  # fmt: skip

    def __init__(self, kind: int, fields: RequestFields, timeout_s: float) -> None:
        """`fields` are as the client has sent them; `timeout_s` is the client's, UNREADABLE without one."""
        self._sent_fields = fields
        self._timeout_s = timeout_s
        self._response: Response | None = None
        self._status = NONE
        self._has_spoken = False
        self.kind = kind
        self.content: Body | None = None  # the progress of the reply's body, where it did not come whole with its head
        self.encoded: EncodedReply | None = None  # the same of gRPC-Web
        self.failed_tries = 0  # that failed by their status, and were followed by another

    # --- the request ----------------------------------------------------------------------------------

    def may_last(self, settings: ListenerSettings) -> bool:
        """Whether it may be a conversation: neither side is hurried, and nothing is held.

        Where no backend speaks HTTP/2 none can serve it, and a content type is no way out of what slow requests end by. For
        gRPC-Web somebody has said that there are servers for it.
        """
        return settings.has_http2 or self.kind != GRPC

    def total_s(self, settings: ListenerSettings) -> float:
        """How long the call may take: as long as its client waits, but no longer than `timeouts.request`.

        Without a deadline there is no end: a call may be a stream.
        """
        if self._timeout_s == UNREADABLE:
            return NEVER if self.may_last(settings) else settings.request_s
        return min(self._timeout_s, settings.request_s)

    def upload(self, settings: ListenerSettings, head_bytes: int) -> Upload:
        """The request's body."""
        if self.kind == WEB_TEXT:
            return TextUpload(self._sent_fields, settings.listener.http, head_bytes)
        return Upload(self._sent_fields, settings.listener.http, head_bytes)

    def head(self, exchange: Exchange, head: bytes, now: float) -> bytes:
        """The head for the next try: with the time that is left, and how often it was tried in vain."""
        total_s = self.total_s(exchange.settings)
        if total_s != NEVER:
            left_s = exchange.started + total_s - now
            if left_s < self._timeout_s - 1e-3:
                start, end = value_span(head, _TIMEOUT)
                if start >= 0:
                    head = b"%b %b%b" % (head[:start], timeout_value(left_s), head[end:])
        if self.failed_tries:
            tries = self.failed_tries
            start, end = value_span(head, _ATTEMPTS)
            if start >= 0:
                before = head[start:end].strip(b" \t")
                tries += int(before) if before.isdigit() and len(before) < 6 else 0
                head = b"%b %d%b" % (head[:start], tries, head[end:])
            else:
                head = b"%bgrpc-previous-rpc-attempts: %d\r\n\r\n" % (head[:-2], tries)
        return head

    def is_over(self, exchange: Exchange, now: float) -> bool:
        """Whether a client that gives up now does so as its deadline has come."""
        total_s = self.total_s(exchange.settings)
        return total_s != NEVER and now >= exchange.started + total_s * (1 - SLACK)

    # --- the reply ------------------------------------------------------------------------------------

    def reply(self, exchange: Exchange, response: Response) -> Response:
        """The backend's reply as it goes on: to a client of gRPC-Web as such."""
        self._response = response
        if self.kind == GRPC:
            return response
        self.encoded = None  # of a reply that was passed over
        start, end = value_span(response.forward, CONTENT_TYPE)
        value = response.forward[start:end].strip(b" \t")
        if start < 0 or kind_of(value) != GRPC:
            return response
        lines = b"%b %b%b" % (response.forward[:start], with_kind(value, self.kind), response.forward[end:])
        response = response.changed(lines)
        if response.framing is not NO_BODY and (response.framing is not BY_LENGTH or response.length):
            self.encoded = EncodedReply(exchange, WebEncoder(self, is_text=self.kind == WEB_TEXT))
            response.forward = remove_named(response.forward, frozenset((b"content-length",)))
        return response

    def spoke(self, lease: Lease | None, now: float) -> None:
        """A part of a reply's body came. It passes a trial: a stream may go on for as long as others wait for its verdict."""
        if not self._has_spoken:
            self._has_spoken = True
            if lease is not None and lease.is_trial:
                lease.answered(now)

    def error(self, status: int, why: Why, detail: str, lines: bytes) -> Reply:
        """The reply in place of an error page with this status: trailers only, as clients read nothing else."""
        return Reply(200, why, detail, error_lines(self.kind, status, why, detail) + lines, b"")

    # --- its status -----------------------------------------------------------------------------------

    def status_of_head(self, response: Response) -> int:
        """The status of a reply that is trailers only; NONE for another."""
        if response.framing is NO_BODY or (response.framing is BY_LENGTH and not response.length):
            value = value_of(response.forward, _STATUS)
            if value:
                return read_status(value)
        return NONE

    def pushback_s(self, response: Response) -> float:
        """How long a server that failed wants not to be asked; NO_PUSHBACK where it does not say, NOT_AGAIN."""
        start, end = value_span(response.forward, _PUSHBACK)
        if start < 0:
            return NO_PUSHBACK
        value = response.forward[start:end].strip(b" \t")
        if not value.isdigit() or len(value) > 9:
            return NOT_AGAIN
        seconds = int(value) / 1000
        return seconds if seconds <= MAX_PUSHBACK_S else NOT_AGAIN

    def status(self, exchange: Exchange) -> int:
        """The call's status as its client has it, once the exchange has ended."""
        if self._status == NONE:
            self._status = status_of(exchange.status, exchange.why)
        return self._status

    def is_failed(self, exchange: Exchange) -> bool:
        """Whether that is a status for which a server is to blame."""
        return failure_of(self.status(exchange), had_time=True) >= 500

    def release(self, exchange: Exchange, lease: Lease, outcome: Outcome, now: float) -> None:
        """Release the lease of the last try, by the status that the reply ended with."""
        end: int = exchange.why
        if outcome is _OK:
            end = exchange.status
            response = self._response
            if response is not None and end == 200 and kind_of(content_type_of(response)) == GRPC:
                end = self._judge(exchange, response)
        first_byte_s = exchange.head_at - lease.started if exchange.head_at else None
        lease.release(outcome, now, first_byte_s, end)
        self.encoded = None  # it holds the exchange

    def _judge(self, exchange: Exchange, response: Response) -> int:
        """Note the call's status; what it counts as in HTTP."""
        value = b""
        if self.content is not None:
            value = value_of(self.content.trailers, _STATUS)
        if not value:
            value = value_of(response.forward, _STATUS)
        if not value:
            self._status = status_of(500, Why.OK)
            return failure_of(NONE, had_time=True)
        self._status = status = read_status(value)
        total_s = self.total_s(exchange.settings)
        had_time = total_s == NEVER or exchange.sent_at <= exchange.started + total_s / 2
        return failure_of(status, had_time=had_time)
