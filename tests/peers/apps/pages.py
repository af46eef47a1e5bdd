"""What the servers in Python have to say."""

import hashlib

HELLO = b"hello\n"
COOKIES = (("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/; HttpOnly"))
BIG = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(160_000))  # 5 MB that no piece of repeats
PIECES = [BIG[start : start + 1000] for start in range(0, 50_000, 1000)]
EVENTS = [b"data: %d\n\n" % number for number in range(3)]
