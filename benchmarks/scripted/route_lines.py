"""A route with five stages, as lines of http.routes: rules, a fault on demand, a canary, transformation, compression."""


def five_stages(host: str, *, is_path_changed: bool = False) -> str:
    """The route of `host` to the pools `default` and `other`; none of its stages turns the benchmarks' request away.

    With `is_path_changed` the path makes a difference, so that its last stage is asked each time.
    """
    path = "\n        strip_prefix: /nothing" if is_path_changed else ""
    return f"""\
    - name: all
      host: {host}
      pool: default
      transform:
        request_headers: [{{action: set, name: X-Team, value: a}}]
        response_headers: [{{action: set, name: X-Frame-Options, value: DENY}}]{path}
      compression: {{enabled: true, algorithms: [gzip], types: [image/svg+xml]}}
      policy:
        rules:
          - {{when: {{subject: "header:User-Agent", contains: BadBot}}, action: deny}}
          - {{when: {{subject: method, equals: TRACK}}, action: deny}}
        canary: {{pool: other, percent: 1, key: "header:User-Agent", header: {{name: X-Tester, value: "yes"}}}}
        fault: {{abort_percent: 100, header: {{name: X-Fault, value: "yes"}}, until: 24h}}
"""
