"""Which context a connection gets, and what of the contexts a reload keeps."""

from __future__ import annotations

from dataclasses import replace

from pem_files import self_signed

from balance.config.model import Config, ListenerConfig
from balance.model import Mode
from balance.tls.contexts import ListenerTls, TlsContexts, names_of
from balance.tls.settings import ServerTls

A = self_signed("a.example")
B = self_signed("*.b.example")


def test_names_are_those_configured_else_the_certificates_own() -> None:
    assert names_of(A.certificate) == ("a.example",)
    assert names_of(replace(A.certificate, domains=("c.example",))) == ("c.example",)


def test_the_default_is_the_one_marked_else_the_first() -> None:
    tls = ServerTls(True, (A.certificate, B.certificate))
    made = ListenerTls(tls)
    assert made.find("other") is made.find("") is made.find("a.example") is made.default
    marked = ListenerTls(replace(tls, certificates=(A.certificate, replace(B.certificate, default=True))))
    assert marked.find("other") is marked.find("x.b.example")
    strict = ListenerTls(replace(tls, strict_sni=True))
    assert strict.find("other") is None
    assert strict.find("") is None


def test_what_stays_the_same_is_kept_over_a_reload() -> None:
    """The policy has the keys of session tickets."""

    def config(tls: ServerTls) -> Config:
        return Config((ListenerConfig("main", (), Mode.HTTP, "p", tls=tls), ListenerConfig("plain", (), Mode.HTTP, "p")), ())

    tls = ServerTls(True, (A.certificate, B.certificate))
    first = TlsContexts(config(tls)).by_listener
    assert list(first) == ["main"]
    before = TlsContexts(config(tls))
    assert TlsContexts(config(tls), before).by_listener["main"] is before.by_listener["main"]
    newer = self_signed("a.example", number=1)
    after = TlsContexts(config(replace(tls, certificates=(newer.certificate, B.certificate))), before).by_listener["main"]
    assert after.policy is before.by_listener["main"].policy
    assert after.find("x.b.example") is before.by_listener["main"].find("x.b.example")
    assert after.default is not before.by_listener["main"].default
    stricter = TlsContexts(config(replace(tls, min_version="1.3")), before).by_listener["main"]
    assert stricter.policy is not before.by_listener["main"].policy


def test_many_names_are_one_context_and_no_context_holds_authorities() -> None:
    """A trust store costs 0.8 MB a context, so only those have one that verify clients."""
    names = tuple(f"{number}.example" for number in range(300))
    made = ListenerTls(ServerTls(True, (replace(A.certificate, domains=names), B.certificate)))
    assert len({id(made.find(name)) for name in names}) == 1
    assert len(made.certificates) == 2
    for context in (made.policy, *made.certificates.values()):
        assert context.cert_store_stats()["x509"] == 0
