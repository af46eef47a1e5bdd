"""The one list of what is compiled: what a request or a connection passes. All else stays Python, and so does all of this where
nobody compiles it.

Without imports of the package: packaging reads it.
"""

from __future__ import annotations

from pathlib import Path

# Modules, and packages with all that is in them; `__init__.py` files stay Python, as they run once.
COMPILED = (
    "balance.access_lists",
    "balance.background_tasks",
    "balance.balancing",
    "balance.compression",
    "balance.grpc",
    "balance.health",
    "balance.host_names",
    "balance.http1",
    "balance.http2",
    "balance.linear_regex",
    "balance.load",
    "balance.log_lines",
    "balance.proxy",
    "balance.proxy_protocol",
    "balance.rate_limiting",
    "balance.retry",
    "balance.routing",
    "balance.runtime",
    "balance.security",
    "balance.stages",
    "balance.tls",
    "balance.tracing",
    "balance.transform",
)
# A frozen native class can't be unpickled. `balance.model` and `balance.errors`, which are not in the list, are parts, too.
PICKLED = "a part of the configuration, which goes to workers pickled"
# Modules of those packages that stay Python, each with why.
LEFT_OUT: dict[str, str] = {
    "balance.access_lists.access_lists": PICKLED,
    "balance.access_lists.address_set": PICKLED,
    "balance.access_lists.list_file": "read at a reload",
    "balance.proxy.listener_server": "runs at ticks and reloads",
    "balance.proxy.net.tls_dial": "its TLS object inherits from ssl.SSLObject, a Python class",
    "balance.proxy.net.system_calls.pure_calls": "the compiled build has native_calls in its place, see NATIVE",
    "balance.proxy.tracing.exporter": "spans are sent in batches, by other people's protocol libraries",
    "balance.proxy.tracing.otlp_grpc": "spans are sent in batches, by other people's protocol libraries",
    "balance.proxy.tracing.otlp_http": "spans are sent in batches, by other people's protocol libraries",
    "balance.proxy.tracing.receiver": "spans are sent in batches, by other people's protocol libraries",
    "balance.proxy.tracing.worker_tracing": "spans are sent in batches, by other people's protocol libraries",
    "balance.runtime.backend_slots": "slots are assigned at a reload",
    "balance.runtime.row.pure_row": "the compiled build has native_row in its place, see NATIVE",
    "balance.runtime.snapshot": "built at a reload; compiled, its inner functions would hold it in a cycle",
    "balance.security.password_hash": "its time goes into the hashes, which are C",
    "balance.security.settings": PICKLED,
    "balance.tls.settings": PICKLED,
}

# Extension modules written by hand, and their one source each; what imports them does without in a pure build.
NATIVE: dict[str, str] = {
    "balance.proxy.net.system_calls.native_calls": "balance/proxy/net/system_calls/native_calls.c",
    "balance.runtime.row.native_row": "balance/runtime/row/native_row.c",
}


def sources(root: Path) -> list[str]:
    """The files to compile, relative to `root`, in order. Raises ValueError for a name that is no module of the tree."""
    found: set[str] = set()
    for name in COMPILED:
        found |= _files(root, name)
    for name in LEFT_OUT:
        files = _files(root, name)
        if not files <= found:
            raise ValueError(f"{name} is left out of what is not compiled")
        found -= files
    return sorted(found)


def _files(root: Path, name: str) -> set[str]:
    place = root.joinpath(*name.split("."))
    module = place.with_suffix(".py")
    files = [module] if module.is_file() else [file for file in place.rglob("*.py") if file.name != "__init__.py"]
    if not files:
        raise ValueError(f"{name} is no module or package of {root}")
    return {str(file.relative_to(root)) for file in files}
