"""One HTTP request and its reply: the one owner of "where are we", from the choice of a backend to the last byte.

    CHOSEN ──idle connection──▶ SENT ──reply head──▶ REPLYING ──last byte──▶ ENDED
       └────────dial──────────▲  │                       │
       ▲                         │ failed, may go again  │ 101
       └──next backend / wait / fresh connection         ▼
                                                      a Relay (ENDED here)

Every way out of it goes through _end(), which gives the lease back once and counts once. Finding a connection, waiting for a
turn, trying again and passing the reply on are its parts, each in a file: attempts, queued, repeats, replying.
"""

from __future__ import annotations

from time import monotonic

from httptools import HttpRequestParser

from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.fields import field_value
from balance.http1.forwarding.realip import UNKNOWN
from balance.http1.framing import BY_CHUNKS, NO_BODY
from balance.http1.head import Request
from balance.model import Outcome, Why
from balance.proxy.access_log import AccessRecord
from balance.proxy.http.connect import CHOSEN, ENDED, REPLYING, SENT, Client
from balance.proxy.http.resend import REPLAY_LIMIT, Tries
from balance.proxy.http.response import Replying
from balance.proxy.http.upstream import Upstream
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.timer_wheel import NEVER
from balance.retry.decision import Again, Failure
from balance.runtime.lease import Lease

# A backend that refuses a longer body may not have read it. Some (gunicorn's gthread) promise to keep the connection, and close
# it all the same when they find the rest, under the request that comes next.
READ_AT_ONCE = 16 * 1024
GO_AHEAD_S = 1.5  # a backend that knows no Expect says nothing; clients send their body all the same, curl after a second

_OK, _ALL_WELL = Outcome.OK, Why.OK


class Exchange(Replying):
    """See the module's picture. Made for a complete request head."""

    __slots__ = ("bytes_in", "why")

    def __init__(self, client: Client, settings: ListenerSettings, request: Request, bytes_in: int) -> None:
        self.client = client
        self.settings = settings
        self.request = request
        self.started = monotonic()
        self._at = CHOSEN
        self._attempts = 0
        self._lease = None
        self._upstream = None
        self._is_reused = False
        self._tried = ()
        self._waited_s = 0.0
        self.held = None
        self._outgoing = b""
        self._interims = 0
        self._tries = None
        self.upload = None
        self.bytes_in = bytes_in
        self.status = 0
        self.why = _ALL_WELL
        self.request_id = b""
        self._buffer = b""
        self._keep_alive = request.keep_alive
        self._response = None
        self._download = None
        self._reply_bytes = 0
        self._reply_is_exact = True
        self._connected_at = 0.0
        self._head_at = 0.0

    # --- the request goes out -----------------------------------------------------------------------

    def start(self, body: bytes) -> bytes:
        """Begin. `body` is what came after the head; returns what of it belongs to the next request. ProtocolError."""
        request = self.request
        fields = request.fields
        head = self._request_head()
        if fields.framing is NO_BODY:
            self._outgoing = head
            rest = body
        else:
            if fields.framing is BY_CHUNKS:
                underscores = self.settings.listener.http.underscore_headers
                self.upload = Body(BY_CHUNKS, 0, HttpRequestParser, underscores=underscores)
            else:
                self.upload = Body(fields.framing, fields.length, HttpRequestParser)
            self._outgoing = head + self._uploaded(self.upload, body) if body else head
            rest = self.upload.rest
        retrying = self.settings.retrying
        if retrying is not None:
            retrying.budget.requests += 1
        self.choose(self.started)
        return rest

    def body_received(self, data: bytes) -> bytes:
        """More of the request's body; returns what belongs to the next request. ProtocolError."""
        upload = self.upload
        assert upload is not None
        out = self._uploaded(upload, data)
        upstream = self._upstream
        if upstream is None:
            if self._at is CHOSEN:  # it waits for its connection, and the client with it
                self.held = [*(self.held or ()), out]
                self.client.pause_reading()
        else:
            if self._outgoing:
                self._keep(out)
            if not upstream.transport.is_closing():
                upstream.transport.write(out)
                self._await(monotonic())
        return upload.rest

    def _uploaded(self, upload: Body, data: bytes) -> bytes:
        out = upload.feed(data)
        self.bytes_in += len(data) - len(upload.rest)
        limit = self.settings.listener.http.limits.body_bytes
        if limit and upload.received > limit:
            raise ProtocolError(413, Why.BODY_TOO_LARGE, f"a body of more than {limit} bytes")
        return out

    def _request_head(self) -> bytes:
        request, settings, client = self.request, self.settings, self.client
        fields = request.fields
        host = fields.host
        if client.after_host and host is not None and settings.request_id and not fields.request_id and not client.is_trusted:
            # Nearly always; what follows, in one go.
            self.request_id = request_id = settings.worker.next_request_id()
            return b"".join((
                request.line, fields.forward, client.before_host, host, client.after_host,
                b"X-Request-Id: ", request_id, b"\r\n\r\n",
            ))  # fmt: skip
        if host is None:  # HTTP/1.0 may leave it out, HTTP/1.1 may not
            host = client.own_host()
            parts = [request.line, b"Host: ", host, b"\r\n", fields.forward]
        else:
            parts = [request.line, fields.forward]
        if client.is_trusted:
            self.view = view = settings.views.view(fields.forwarding, client.peer, host)
            parts.append(view.lines)
            if view.complaint:
                peer = client.peer if client.peer != UNKNOWN else "a Unix socket"
                settings.worker.unreadable.say(self.started, f"from a trusted proxy ({peer}): {view.complaint}")
        elif client.after_host:
            parts += (client.before_host, host, client.after_host)
        else:
            parts.append(client.before_host)
        if fields.request_id:
            self.request_id = fields.request_id
        elif settings.request_id:
            self.request_id = settings.worker.next_request_id()
            parts += (b"X-Request-Id: ", self.request_id, b"\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _send(self, upstream: Upstream, now: float) -> None:
        self._at = SENT
        self._connected_at = now
        self._upstream = upstream
        upstream.exchange = self
        upstream.transport.write(self._outgoing)
        if self.held is not None:
            held, self.held = b"".join(self.held), None
            upstream.transport.write(held)
            if self._is_kept_while_it_streams():
                self._keep(held)
            else:
                self._outgoing = b""
            if not upstream.is_full:
                self.client.resume_reading()
        elif self.upload is not None and (
            len(self._outgoing) > REPLAY_LIMIT or not (self.upload.is_done or self._is_kept_while_it_streams())
        ):
            self._outgoing = b""
        if self.upload is None:
            self.client.arm(now, self.settings.reply_s)
        else:
            self._await(now)

    def _await(self, now: float) -> None:
        """Arm the timeout of whoever is waited for now."""
        timeouts = self.settings.timeouts
        if self.client.is_write_paused:
            timeout_s = timeouts.write_s or NEVER
        elif self.upload is None or self.upload.is_done:
            timeout_s = self.settings.reply_s if self._at is SENT and not self._interims else self.settings.read_s
        elif self._upstream is not None and self._upstream.is_full:
            timeout_s = timeouts.write_s or NEVER
        elif self._awaits_go_ahead():
            timeout_s = max(self.settings.reply_s, min(self.settings.read_s, GO_AHEAD_S))
        else:
            timeout_s = timeouts.client_body_s or NEVER
        self.client.arm(now, timeout_s)

    def _awaits_go_ahead(self) -> bool:
        """Whether it is the backend's turn although the body has not come: it was asked for a 100 (Continue)."""
        assert self.upload is not None
        return self.request.fields.expects and not self.upload.received and not self._interims and self._at is SENT

    def _is_its_turn_since(self, then: float) -> bool:
        """Whether the backend has had its request, and all of it now, since before `then`."""
        return self._connected_at <= then and (self.upload is None or self.upload.is_done)

    # --- the other side has something to say ------------------------------------------------------------

    def pause_upload(self) -> None:
        """The backend can't take more of the request's body."""
        if self.upload is not None and not self.upload.is_done:
            self.client.pause_reading()
        self._await(monotonic())

    def resume_upload(self) -> None:
        """It can again."""
        self.client.resume_reading()
        self._await(monotonic())

    def pause_download(self) -> None:
        """The client can't take more of the reply."""
        if self._upstream is not None:
            self._upstream.pause()
            self._await(monotonic())

    def resume_download(self) -> None:
        """It can again."""
        if self._upstream is not None:
            self._upstream.resume()
            self._await(monotonic())

    def upstream_ended(self, exc: Exception | None) -> None:
        """The backend's connection gave an end (None) or broke. EPIPE is both: its end had come before the reset."""
        if self._at is REPLYING:
            download = self._download
            if (
                (exc is None or isinstance(exc, BrokenPipeError))
                and download is not None
                and self._response is not None
                and download.ends_at_close
            ):
                download.is_done = True
                self._end_well(monotonic())
            else:
                self._fail(502, Why.RESET_MID_RESPONSE, "the backend broke off its reply", Outcome.FAILED)
        elif self._at is SENT:
            if self._buffer or self._interims or not self._is_reused:
                self._not_answered(Failure.RESET, Why.RESET_BEFORE_RESPONSE, has_begun=bool(self._buffer))
            else:
                self._reused_ended(exc)

    def client_gone(self) -> None:
        """The client left: so does its request at the backend, which is not to blame."""
        if self._at is not ENDED:
            if self._at is CHOSEN:
                self._stop_waiting(monotonic())
            if self.why is not Why.INTERNAL_ERROR:
                self.status = 499  # nginx's code for it; in logs only
                self.why = Why.CLIENT_ABORT
            self._end(Outcome.ABORTED, monotonic(), keep_upstream=False)

    def crashed(self) -> None:
        """A bug in our own code has left nobody knowing where we are: the client goes, and with it what is held for it."""
        self.status = 500
        self.why = Why.INTERNAL_ERROR
        self.client.give_up()

    def expire(self, now: float) -> None:
        """The client's deadline has passed while this exchange owned it."""
        upload, upstream = self.upload, self._upstream
        if now >= self.started + self.settings.request_s:
            outcome = Outcome.ABORTED
            if self._at is SENT and self._is_its_turn_since(self.started + self.settings.request_s / 2):
                self._not_again(Again.DEADLINE)
                outcome = Outcome.FAILED  # else one that never replies looks well wherever `request` is below `read`
            self._fail(504, Why.TOTAL_TIMEOUT, "the request took too long", outcome)
        elif self._tries is not None and self._tries.is_waiting:
            if self.client.has_left():
                self.client.give_up()
            else:
                self.go_on(now)
        elif self.client.is_write_paused:
            if self.client.has_taken_some():
                self._await(now)
            else:
                self._fail(408, Why.CLIENT_TOO_SLOW, "the client does not read", Outcome.ABORTED)
        elif upload is not None and upstream is not None and upstream.has_taken_some():
            self._await(now)
        elif self.client.has_left():
            self.client.give_up()  # and say so: client_gone() follows
        elif (
            upload is not None
            and not upload.is_done
            and not (upstream is not None and upstream.is_full)
            and not self._awaits_go_ahead()
        ):
            self._fail(408, Why.BODY_TIMEOUT, "the request's body did not come", Outcome.ABORTED)
        elif self._at is REPLYING:
            self._fail(504, Why.RESPONSE_IDLE, "the backend stopped in its reply", Outcome.FAILED)
        elif self._at is SENT:
            self._not_answered(Failure.TIMEOUT, Why.RESPONSE_HEADER_TIMEOUT, has_begun=bool(self._buffer))
        elif self._at is ENDED:
            self.client.give_up()  # a bug ended it half-way

    def cut(self) -> None:
        """The deadline of a drain."""
        self._fail(503, Why.DRAINING, "shutting down", Outcome.ABORTED)

    def refuse(self, error: ProtocolError) -> None:
        """The request's body turned out to be one that must not go on; where it ends can't be believed either."""
        self._keep_alive = False
        self._fail(error.status, error.why, error.detail, Outcome.ABORTED)

    # --- the end ---------------------------------------------------------------------------------------

    def _end_well(self, now: float) -> None:
        response, upstream = self._response, self._upstream
        assert response is not None and upstream is not None
        if response.idle_timeout_s:
            upstream.backend.idle_time.announced(response.idle_timeout_s)
        keep_upstream = response.keep_alive and self._reply_is_exact and not upstream.is_full
        upload = self.upload
        if upload is not None and (
            not upload.is_done or (self.status >= 400 and upload.received > READ_AT_ONCE and upstream.owner is None)
        ):
            keep_upstream = False
        if self._download is not None and self._download.ends_at_close:
            keep_upstream = False
        try:
            self._end(_OK, now, keep_upstream=keep_upstream)
        finally:  # the client has its reply, whatever becomes of the count
            self.client.exchange_ended(now, keep_alive=self._keep_alive)

    def _fail(self, status: int, why: Why, detail: str, outcome: Outcome) -> None:
        """End badly: tell the client if its reply has not begun, else break off so that it can't take it for complete."""
        if self._at is ENDED:
            return
        if outcome is Outcome.FAILED and (self._tries is None or self._tries.again <= Again.MADE):
            self._not_again(Again.BEGUN)  # nothing else has been said of it
        if self._at is CHOSEN:
            self._stop_waiting(monotonic())
        has_replied = self._at is REPLYING
        self.why = why
        tries = self._tries = self._tries or Tries()
        tries.detail = tries.detail or detail
        if why is Why.BAD_RESPONSE and self._lease is not None:
            self.settings.worker.reply_not_understood(self._lease.backend, detail)
        keep_alive, page = False, None
        if not has_replied:
            self.status = status
            keep_alive = self._keep_alive and self.request.minor == 1 and (self.upload is None or self.upload.is_done)
            keep_alive = keep_alive and not self.settings.is_closing
            page = self.client.error_page(status, why, detail, keep_alive=keep_alive)
            self._reply_bytes += len(page)
        self._end(outcome, monotonic(), keep_upstream=False)
        if page is None:
            # A body that only the close ends, also one whose chunks were taken off, would look complete.
            download, response = self._download, self._response
            until_close = download is not None and (
                download.ends_at_close or (not self.request.minor and response is not None and response.framing is BY_CHUNKS)
            )
            is_stuck = why is Why.CLIENT_TOO_SLOW
            self.client.break_off(with_reset=until_close or is_stuck, at_once=is_stuck)
        else:
            self.client.answer(page, keep_alive=keep_alive)

    def _end(self, outcome: Outcome, now: float, *, keep_upstream: bool) -> None:
        """The only way out: lease, connection and counters, once."""
        self._at = ENDED
        upstream, lease = self._upstream, self._lease
        self._upstream = self._lease = None
        if self._tries is not None:
            self._tries.done()
        if upstream is not None:
            upstream.served += 1
            if keep_upstream and upstream.served < self.settings.max_requests:
                upstream.park(now, self.settings.max_idle)
            else:
                upstream.discard()
        if lease is not None:
            lease.release(outcome, now, None, self.status if outcome is _OK else self.why)
        self._count(now, lease, outcome)

    def _count(self, now: float, lease: Lease | None, outcome: Outcome) -> AccessRecord | None:
        """Into the counters, and into the access log if there is one; returns what it was told."""
        worker = self.settings.worker
        slot, request_us, upstream_us = 0, int((now - self.started) * 1e6), -1
        if lease is not None:
            slot = lease.backend.slot
            if outcome is _OK:  # the first backend was chosen as the exchange began
                is_first = self._attempts == 1 and not self._waited_s
                upstream_us = request_us if is_first else int((now - lease.started) * 1e6)
        worker.row.count_exchange(
            slot, self.request.method, self.status, self.why, request_us, upstream_us, self.bytes_in, self._reply_bytes
        )
        if worker.access is None:
            return None
        record = self._record(now, lease)
        worker.access.record(record)
        return record

    def _record(self, now: float, lease: Lease | None) -> AccessRecord:
        request, settings, tries = self.request, self.settings, self._tries
        forward = request.fields.forward
        sent, began = self._connected_at, 0.0
        if lease is not None:  # else the last try has ended, and is told by what it says of itself
            began = tries.began if tries is not None and tries.began else lease.started
        return AccessRecord(
            client=self.view.address if self.client.is_trusted else self.client.peer,
            method=request.method.decode("ascii"),
            host=(request.fields.host or b"").decode("ascii"),
            path=request.target.decode("ascii"),
            version=f"HTTP/1.{request.minor}",
            status=self.status,
            why=self.why.word,
            bytes_in=self.bytes_in,
            bytes_out=self._reply_bytes,
            backend=lease.backend.name if lease is not None else "",
            pool=settings.pool.name,
            attempts=self._attempts,
            request_id=self.request_id.decode("ascii"),
            referer=field_value(forward, b"referer"),
            user_agent=field_value(forward, b"user-agent"),
            queue_ms=round(self._waited_s * 1e3, 3),
            connect_ms=round(((sent or now) - began) * 1e3, 3) if began else -1.0,
            ttfb_ms=round((self._head_at - sent) * 1e3, 3) if self._head_at else -1.0,
            total_ms=round((now - self.started) * 1e3, 3),
            retry=tries.again.word if tries is not None else "",
            detail=tries.detail if tries is not None else "",
            tries=tries.failures if tries is not None else (),
        )
