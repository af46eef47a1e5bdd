"""HTTP mode: a client connection has one exchange at a time; each exchange uses one upstream to its chosen backend.

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
                             ENDED   end(): connection parked, closed or a tunnel's; lease; account

class         the state that it owns
HttpClient    state of the connection, buffered bytes, why reading is paused, the deadline; the current Exchange
ReplyWriter   whether the connection may stay open, whether only its close marks the end of the reply; the ReplyBuffer
Exchange      state of the request, its lease, its upstream, the reply; made for a complete head. It makes when needed:
  Upload        progress of the request body, the part that can be sent again; a BufferedUpload is read before the choice
  QueueWait     the place in the pool's queue, the time waited
  Resend        tries so far, backends to avoid, the backoff before the next try
ConnectionAuth  upstreams reserved for one client (NTLM); held by HttpClient
Upstream      whether it is parked, full, lost; the current Exchange
TunnelEnd     replaces HttpClient and Upstream after a 101 (upgrade.py)
"""
