"""Balance: a TCP/HTTP proxy and load balancer.

Glossary, used everywhere in the code:

    Listener   an address that clients connect to, with the mode it speaks
    Pool       a named set of backends that can stand in for each other
    Backend    one machine (address) that does the work
    Policy     a balancing algorithm: chooses a backend by the loads of the ready ones
    Load       the load of one backend: active requests, latency, failure rate
    Lease      one use of a backend, from the choice to the outcome
    Exchange   one HTTP request and its reply
    Client     a downstream connection;  Upstream: a connection to a backend
    Snapshot   everything a worker needs to serve, built once, never changed
    Why        how a request or connection ended, as one keyword in logs and metrics
"""

from balance.version import VERSION as __version__

__all__ = ["__version__"]
