"""The rows of HTTP/2: what asks in them (h2load), what answers to gRPC (nghttpd), and the harness's own connection.

HTTP/1 twin   for a row, a plain request over HTTP/1 by the same load, asked of each peer in the same rounds
"""
