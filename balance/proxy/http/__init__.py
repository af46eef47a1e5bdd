"""HTTP mode: one client connection, one exchange at a time, each on a connection to the backend that was chosen for it.

client                     exchange                                    backend
HttpClient ──start()─────▶ Exchange                                    Upstream
  finds heads, keeps         CHOOSING ◀──────────────┐                   parked between
  order, arms deadlines        │ pool.acquire()      │ the try failed    exchanges
  │    ▲                       │   QueueWait: all    │ and may be made
  │    │ end_reply(),          │   backends are full │ again: Resend
  │    │ end_error(),          │ take_parked(), or   │
  │    │ break_off()           │ connect()           │
  │    │                       ▼                     │
  │    │                     SENT ───────────────────┘
  │    │                       │ send_request() ──────────────────────▶ Upstream
  └────│─body_received()─────▶ │ Upload: send_body() ─────────────────▶   │
       │                       │                                          │
ReplyWriter ◀── interim() ─────│ ◀──────────────── response_received() ───┤
  HTTP/1 bytes                 ▼                                          │
  of a reply ◀── begin() ─── REPLYING                                     │
             ◀── more() ────── │ ◀──────────────── response_received() ───┘
                               ▼
                             ENDED   _end(): connection parked, closed or a tunnel's; lease; account

owner         state of its own
HttpClient    where the connection is, bytes that wait, why reading is paused, the deadline; the one Exchange
ReplyWriter   whether the connection may stay open, whether only its close ends the reply
Exchange      where the request is, its lease, its connection, the reply; made for a complete head, and of it, when needed:
  Upload        how far the body has come, what can be sent again
  QueueWait     the place in the pool's queue, how long it has waited
  Resend        tries so far, backends to avoid, the wait before the next one
ConnectionAuth  connections that are one client's alone (NTLM); held by HttpClient
Upstream      whether it is parked, full, lost; the one Exchange
TunnelEnd     after a 101 (upgrade.py), instead of HttpClient and Upstream
"""
