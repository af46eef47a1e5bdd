"""What a request costs on the wire: Balance beside nginx and HAProxy, same load, same core, same minute.

Origin     the nginx that does the work behind every proxy, on the load's core
Peer       a proxy that can be put between the load and the origin; says how it is configured and started
Site       the folder and the ports that one running peer is given
Standing   a peer that is running
Scenario   one row: a mode, a request, a number of connections, a question
Sample     what one peer did in one round
Round      every peer once, back to back; figures are compared inside a round and only then summed up
"""
