"""The proxies that can be compared: one module each, one line in PEERS."""

from wire.peers.balance import Balance
from wire.peers.balance_routes import VARIANTS
from wire.peers.haproxy import Haproxy
from wire.peers.nginx import Nginx
from wire.peers.peer import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Nginx(), Haproxy("haproxy"), Haproxy("haproxy-splice", splice=True), Balance(), *VARIANTS)
}
# Splicing changes nothing for small replies: worth its minutes only when asked for.
USUAL = ("nginx", "haproxy", "balance")
