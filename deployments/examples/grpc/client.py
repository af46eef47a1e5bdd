"""Calls over one channel, and says who has answered: `python3 client.py --calls 6`, or for a time: `--seconds 5`."""

import argparse
import collections
import sys
import time

import grpc


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", default="127.0.0.1:8080")
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args()
    answers: collections.Counter[str] = collections.Counter()
    failures: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + options.seconds
    with grpc.insecure_channel(options.target) as channel:
        say = channel.unary_unary("/demo.Echo/Say")
        while sum(answers.values()) + sum(failures.values()) < options.calls or time.monotonic() < end:
            try:
                answer = say(b"hello", timeout=5)
                answers[answer.decode().partition(":")[0]] += 1
            except grpc.RpcError as error:
                failures[f"{error.code().name} {error.details()}"] += 1
    if options.calls:
        said = "answers: " + ", ".join(f"{name} {count}" for name, count in sorted(answers.items()))
    else:
        said = "answered by: " + ", ".join(sorted(answers))
    failed = ", ".join(f"{what} ({count})" for what, count in failures.items()) or "none"
    sys.stdout.write(f"{said}\nfailed: {failed}\n")
    return 1 if failures else 0


sys.exit(main())
