"""TLS without sockets: the ClientHello, certificates and their names, contexts. `balance.proxy.tls` puts it on connections."""
