"""Any other command as a proxy: an older checkout of Balance, or a proxy without a module here."""

import shlex
import shutil

from wire.peers.balance import config_text
from wire.peers.peer import Mode, Site


class Against:
    """`{config}` is a configuration that Balance reads; `{port} {admin} {origin} {mode}` serve everything else."""

    name = "against"

    def __init__(self, template: str) -> None:
        self.words = shlex.split(template)

    def missing(self, mode: Mode, *, http2: bool = False, grpc: bool = False) -> str | None:
        if not self.words:
            return "--against: the command is empty"
        return None if shutil.which(self.words[0]) else f"{self.words[0]!r} is not a command"

    def version(self) -> str:
        return shlex.join(self.words)

    def command(self, site: Site) -> list[str]:
        values = {
            "{config}": str(site.write("against.yaml", config_text(site))),
            "{port}": str(site.port),
            "{admin}": str(site.admin_port),
            "{origin}": str(site.origin_port),
            "{mode}": site.mode.value,
        }
        return [_filled(word, values) for word in self.words]


def _filled(word: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        word = word.replace(key, value)
    return word
