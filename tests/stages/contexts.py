"""Contexts of requests, as the proxy makes them, for tests of stages."""

from balance.http1.head import RequestFields
from balance.stages.request_context import RequestContext


def request_context(target: bytes = b"/", forward: bytes = b"Host: shop.example\r\n", **values: object) -> RequestContext:
    """A GET from 192.0.2.1 that no proxy has passed on, with other `values` where given."""
    context = RequestContext()
    context.method = b"GET"
    context.target = target
    context.fields = RequestFields()
    context.fields.host = b"shop.example"
    context.fields.forward = forward
    context.fields, context.target = context.fields, target
    context.client = "192.0.2.1"
    context.host = "shop.example"
    context.host_sent = b"shop.example"
    context.request_id = b"r1"
    path, mark, query = target.partition(b"?")
    context.path = path
    context.query = mark + query
    context.forward = forward
    for name, value in values.items():
        setattr(context, name, value)
    return context
