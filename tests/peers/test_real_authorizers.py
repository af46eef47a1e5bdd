"""Authorizers that we did not write: nginx that answers 204 and 401, and a login of its own on uvicorn, with curl in front."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from instance_process import Instance
from server_processes import ServerProcesses, free_port, program

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"
NGINX = """\
daemon off; pid {folder}/nginx.pid; worker_processes 1; events {{}}
http {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
server {{ listen {auth};
  location /verify {{ if ($cookie_session = "") {{ return 401 "log in"; }}
    add_header Remote-User $cookie_session; return 204; }} }}
server {{ listen {app}; location / {{ return 200 "app $request_uri user=$http_remote_user by=$http_x_forwarded_for\\n"; }} }} }}
"""
LOGIN = '''\
async def app(scope, receive, send):
    """Lets in who has logged in, sends all others to its page, and says what it was asked."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    fields = {name.decode(): value.decode() for name, value in scope["headers"]}
    asked = "%s://%s%s" % tuple(fields.get(f"x-forwarded-{name}") for name in ("proto", "host", "uri"))
    if "session=" in fields.get("cookie", ""):
        said = [(b"remote-user", b"ada"), (b"set-cookie", b"session=2; HttpOnly")]
        said += [(b"x-asked", f"{scope['method']} {asked}".encode())]
        await send({"type": "http.response.start", "status": 200, "headers": said})
        await send({"type": "http.response.body", "body": b"ok", "more_body": True})
        await send({"type": "http.response.body", "body": b"!"})
        return
    location = f"https://login.example/?rd={asked}".encode()
    await send({"type": "http.response.start", "status": 302, "headers": [(b"location", location), (b"set-cookie", b"csrf=1")]})
    await send({"type": "http.response.body", "body": b"login"})
'''


def start(processes: ServerProcesses, *, nginx: str, login: str) -> None:
    folder = processes.folder
    (folder / "nginx.conf").write_text(nginx)
    (folder / "login.py").write_text(LOGIN)
    processes.start("nginx", [program("nginx"), "-e", str(folder / "e.log"), "-c", str(folder / "nginx.conf")])
    words = [sys.executable, "-m", "uvicorn", "login:app", "--app-dir", str(folder), "--port", login.rsplit(":", 1)[1]]
    processes.start("uvicorn", words)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("auth")
    processes = ServerProcesses(folder)
    instance = None
    try:
        auth, app, login = (f"127.0.0.1:{free_port()}" for _ in range(3))
        start(processes, nginx=NGINX.format(folder=folder, auth=auth, app=app), login=login)
        processes.wait_for({"auth": auth, "app": app, "login": login})
        instance = Instance(
            folder,
            f"""
listeners: [{{name: main, listen: "127.0.0.1:0", pool: app}}]
workers: 1
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
http:
  routes:
    - name: nginx
      path_prefix: /nginx/
      security: {{forward_auth: {{enabled: true, pool: auth, path: /verify, response_headers: Remote-User}}}}
    - name: login
      path_prefix: /login/
      security:
        forward_auth: {{enabled: true, pool: login, response_headers: Remote-User, client_headers: [Set-Cookie, X-Asked]}}
pools:
  app: {{backends: [{{address: "{app}"}}]}}
  auth: {{backends: [{{address: "{auth}"}}]}}
  login: {{backends: [{{address: "{login}"}}]}}
""",
        ).ready()
        yield f"http://127.0.0.1:{instance.port}"
    finally:
        if instance is not None:
            instance.destroy()
        processes.stop()


def curl(*words: str) -> str:
    done = subprocess.run(["curl", "-s", "-i", "--max-time", "20", *words], capture_output=True, text=True, check=True)
    return done.stdout.replace("\r", "")


def test_nginx_says_204_and_401(front: str) -> None:
    refused = curl(f"{front}/nginx/x", "-H", "Remote-User: root")
    assert refused.startswith("HTTP/1.1 401 ") and refused.endswith("\n\nlog in")
    for _ in range(3):
        let_in = curl(f"{front}/nginx/x?q=1", "-b", "session=ada", "-H", "Remote-User: root", "-H", "X-Forwarded-For: 9.9.9.9")
        assert let_in.endswith("app /nginx/x?q=1 user=ada by=127.0.0.1\n")
    posted = curl(f"{front}/nginx/x", "-b", "session=ada", "-d", "x" * 100_000)
    assert "user=ada" in posted
    # what would make nginx answer about its own page
    ranged = curl(f"{front}/nginx/x", "-b", "session=ada", "-r", "0-1", "-H", 'If-None-Match: "x"')
    assert "user=ada" in ranged


def test_a_login_of_its_own(front: str) -> None:
    away = curl(f"{front}/login/a?b=c", "-H", "X-Forwarded-Uri: /public", "-H", "X-Forwarded-Host: evil.example")
    assert away.startswith("HTTP/1.1 302 ")
    assert f"location: https://login.example/?rd={front}/login/a?b=c\n" in away
    assert "set-cookie: csrf=1\n" in away
    for _ in range(3):
        back = curl(f"{front}/login/a?b=c", "-b", "session=1", "-X", "DELETE")
        assert "Set-Cookie: session=2; HttpOnly\n" in back
        assert f"X-Asked: GET {front}/login/a?b=c\n" in back
        assert "user=ada" in back


def test_the_example_is_served(tmp_path: Path) -> None:
    """With the login in place of the authorizer, and nginx in place of the shop."""
    text = (EXAMPLES / "forward-auth.yaml").read_text()
    processes = ServerProcesses(tmp_path)
    instance = None
    try:
        login, app = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        start(processes, nginx=NGINX.format(folder=tmp_path, auth=f"127.0.0.1:{free_port()}", app=app), login=login)
        processes.wait_for({"app": app, "login": login})
        text = text.replace('":8080"', '"127.0.0.1:0"').replace("127.0.0.1:9001", app).replace("127.0.0.1:9091", login)
        text = text.replace("workers: auto", 'workers: 1\nadmin: {listen: "127.0.0.1:0"}\nshutdown: {delay: 0s}')
        text = text.replace("path: /api/health,", "path: /api/health, expected_status: 302,")
        instance = Instance(tmp_path, text).ready()
        url = f"http://127.0.0.1:{instance.port}"
        assert "app /public/x user= " in curl(f"{url}/public/x", "-b", "session=1")
        assert curl(f"{url}/x").startswith("HTTP/1.1 302 ")
        let_in = curl(f"{url}/x", "-b", "session=1", "-H", "remote-user: root")
        assert "app /x user=ada " in let_in and "Set-Cookie: session=2" in let_in
    finally:
        if instance is not None:
            instance.destroy()
        processes.stop()
