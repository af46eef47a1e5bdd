"""Whether a running Balance does what it should, seen from outside: asked at its two URLs as clients and operators do.

    python3 tests/smoke --proxy http://127.0.0.1:8000 --admin http://127.0.0.1:9090

Needs Python 3.11 and nothing else, and may run on another machine. Prints a table: what holds, what fails, and what could not
be seen, as this instance has it not configured. Sends some two hundred requests and changes nothing; --orders also drains a
backend and puts it back. Ends with status 1 when something fails, with 2 when nobody answers or the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys

from checks import CHECKS, FAILS, Options, Result
from instance import Instance, Server, Unreachable

EXAMPLE = (
    "example: python3 tests/smoke --proxy https://shop.example.com --admin http://10.0.0.5:9090 --token-file token --path /"
)


def main() -> int:
    given = arguments()
    token = given.token or os.environ.get("BALANCE_ADMIN_TOKEN", "")
    try:
        if given.token_file:
            with open(given.token_file) as file:
                token = file.read().strip()
        tls = ssl.create_default_context(cafile=given.cacert)
        if given.insecure:
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        proxy = Server(given.proxy, tls, given.timeout)
        admin = Server(given.admin, tls, given.timeout, token)
        admin.ask("/health")
        status = admin.ask("/status")
        if status.status in (401, 403):
            raise Unreachable(f"{admin.url} wants a token (status {status.status}): --token-file FILE, or BALANCE_ADMIN_TOKEN")
        if not isinstance(status.json(), dict) or "version" not in status.json():
            raise Unreachable(f"{admin.url}/status is not that of a Balance (status {status.status})")
        instance = Instance(proxy, admin)
    except (OSError, ValueError, Unreachable) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 2
    fields = tuple((name.strip(), value.strip()) for name, _, value in (each.partition(":") for each in given.header))
    options = Options(given.path, fields, given.requests, given.most, given.orders)
    results = {name: run(name, instance, options) for name in CHECKS}
    if given.json:
        print(json.dumps({name: result._asdict() for name, result in results.items()}, indent=2))
    else:
        print(f"Balance {status.json()['version']} at {proxy.url}, admin port {admin.url}\n")
        for name, (verdict, detail) in results.items():
            print(f"{name:14}{verdict:16}{printable(detail)}")
    return 1 if any(verdict == FAILS for verdict, _ in results.values()) else 0


def run(name: str, instance: Instance, options: Options) -> Result:
    """A check that meets something that it does not know has found something out, too."""
    try:
        return CHECKS[name](instance, options)
    except Unreachable as error:
        return Result(FAILS, str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Result(FAILS, f"an answer that is not as documented: {type(error).__name__}: {error}")


def printable(text: str) -> str:
    """What a server says may not move the cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="smoke", description=__doc__.split("\n\n")[0], epilog=EXAMPLE)
    parser.add_argument("--proxy", required=True, metavar="URL", help="where clients connect")
    parser.add_argument("--admin", required=True, metavar="URL", help="the admin port")
    parser.add_argument("--token", default="", help="of the admin port; else BALANCE_ADMIN_TOKEN")
    parser.add_argument("--token-file", metavar="FILE", help="the same from a file, which no process list shows")
    parser.add_argument("--path", default="/", help="what is asked of the proxy (/)")
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="with this field, such as Host")
    parser.add_argument("--requests", type=int, default=60, metavar="N", help="how many show the distribution (60)")
    parser.add_argument("--most", type=int, default=300, metavar="N", help="how many a rate limit may take to be seen (300)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="how long a reply is waited for (10)")
    parser.add_argument("--cacert", metavar="FILE", help="https: whom to trust")
    parser.add_argument("--insecure", action="store_true", help="https: trust any certificate")
    parser.add_argument("--orders", action="store_true", help="also drain a backend for a moment")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
