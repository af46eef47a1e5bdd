"""200 clients upload 100 KB at 10 KB/s each before four sync workers of gunicorn, while others ask for a small page.

    python3 tests/chaos/slow_uploads.py

Prints a table of how many pages came within 2 s, behind Balance and nginx with and without buffering of requests. Ends by
itself within 90 s, with status 1 when Balance with buffering kept anybody waiting.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("process", "peers")]

import standalone_script

CLIENTS, SIZE, RATE = 200, 100_000, 10_000


YAML = """
listen: 127.0.0.1:0
backends: [{{address: "{backend}", max_connections: {most}}}]
queue: {{timeout: 60s, size: 1000}}
http: {{buffering: {{request: {request}}}}}
admin: {{listen: 127.0.0.1:0}}
shutdown: {{delay: 0s}}
"""


def main() -> int:
    from instance_process import Instance
    from server_processes import ServerProcesses
    from upload_load import slow_uploads, start_nginx_before, start_workers

    is_well = True
    instances: list[Instance] = []
    with tempfile.TemporaryDirectory() as folder:
        processes = ServerProcesses(Path(folder))
        try:
            print(f"{CLIENTS} clients, {SIZE // 1000} KB at {RATE // 1000} KB/s each; gunicorn with 4 sync workers\n")
            print("| proxy | buffering | pages within 2 s | median | slowest | uploads done within 14 s |")
            print("| --- | --- | ---: | ---: | ---: | ---: |")
            for name, is_buffering in itertools.product(("balance", "nginx"), (True, False)):
                backend = start_workers(processes)
                processes.wait_for({f"gunicorn {backend}": backend})
                if name == "nginx":
                    address = start_nginx_before(processes, backend, is_buffering=is_buffering)
                    processes.wait_for({f"nginx {address}": address})
                else:
                    text = YAML.format(backend=backend, request="1MB" if is_buffering else "0", most=4 if is_buffering else 0)
                    instances.append(Instance(Path(folder), text).ready())
                    address = instances[-1].saying(r"listener \S+: \w+ on (\S*:\d+) to ")[1]
                seen = asyncio.run(
                    slow_uploads(address, clients=CLIENTS, size=SIZE, rate=RATE, gets=30, every_s=0.25, limit_s=14)
                )
                waits = seen.waits_s
                times = f"{statistics.median(waits) * 1e3:.0f} ms | {max(waits) * 1e3:.0f} ms" if waits else "– | –"
                word, done = "on" if is_buffering else "off", f"{seen.uploaded} of {seen.uploads}"
                print(f"| {name} | {word} | {len(waits)} of {seen.asked} | {times} | {done} |", flush=True)
                if name == "balance" and is_buffering:
                    is_well = len(waits) == seen.asked
        finally:
            for instance in instances:
                instance.destroy()
            processes.stop()
    return 0 if is_well else 1


if __name__ == "__main__":
    standalone_script.prepare()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
