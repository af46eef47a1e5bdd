"""Balance: a TCP/HTTP proxy and load balancer.

Glossary, used everywhere in the code:

    Listener   an address that clients connect to, with the mode it speaks
    Pool       a named set of backends that can stand in for each other
    Backend    one machine (address) that does the work
    Policy     decides which backend comes next; sees numbers only
    Load       the numbers of one backend that a policy may read
    Lease      one use of a backend, from the choice to the outcome
    Exchange   one HTTP request and its reply
    Client     a downstream connection;  Upstream: a connection to a backend
    Snapshot   everything a worker needs to serve, built once, never changed
    Why        the one word that says how a request or connection ended
"""

from balance.version import VERSION as __version__

__all__ = ["__version__"]
