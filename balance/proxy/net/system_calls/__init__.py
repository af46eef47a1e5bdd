"""System calls on sockets that never block: what a TransportPoll and the acceptors ask of the kernel.

pure_calls.py is the definition. native_calls.c makes the same calls without the interpreter's lock being passed on around each,
without an object of the most that might be read, and accepts sockets that do not block already; it is there in a compiled build
only, and taken where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ("FEW_BYTES", "IS_NATIVE", "MANY_BYTES", "accepting", "close", "connect", "end", "error_of", "no_delay", "peek",
           "receive", "send", "send_joined", "waiting")  # fmt: skip

if TYPE_CHECKING:
    from balance.proxy.net.system_calls.pure_calls import (
        accepting,
        close,
        connect,
        end,
        error_of,
        no_delay,
        peek,
        receive,
        send,
        send_joined,
        waiting,
    )

    # Not by their values, which a compiler would take for those of every build.
    FEW_BYTES: int
    MANY_BYTES: int
    IS_NATIVE: bool
else:
    try:
        from balance.proxy.net.system_calls.native_calls import (
            FEW_BYTES,
            MANY_BYTES,
            accepting,
            close,
            connect,
            end,
            error_of,
            no_delay,
            peek,
            receive,
            send,
            send_joined,
            waiting,
        )
    except ModuleNotFoundError:
        from balance.proxy.net.system_calls.pure_calls import (
            FEW_BYTES,
            MANY_BYTES,
            accepting,
            close,
            connect,
            end,
            error_of,
            no_delay,
            peek,
            receive,
            send,
            send_joined,
            waiting,
        )

        IS_NATIVE = False
    else:
        IS_NATIVE = True
