"""What a worker holds of bodies, over requests and replies together: counted to the byte, and nothing stays behind."""

from __future__ import annotations

from fakes import FakeTransport
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from balance.config.model import HttpConfig
from balance.config.route_model import Buffering
from balance.http1.framing import BY_CHUNKS, BY_LENGTH
from balance.http1.head import RequestFields
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.buffered_upload import BufferedUpload
from balance.proxy.buffering.reply_buffer import ReplyBuffer
from balance.proxy.buffering.upload import Upload

TOTAL = 1000
READ = 300  # the most that one read brings
BUFFERING = Buffering(request_bytes=500, response_bytes=500, total_bytes=TOTAL)


def test_what_fits_is_said_to_the_byte() -> None:
    budget = BufferBudget()
    assert budget.has_room(10, 10)
    budget.held = 1
    assert not budget.has_room(10, 10)
    assert budget.has_room(9, 10)


class _Body:
    """An upload that arrives in pieces, and what is known of it."""

    def __init__(self, budget: BufferBudget, length: int, *, in_chunks: bool) -> None:
        fields = RequestFields()
        fields.framing = BY_CHUNKS if in_chunks else BY_LENGTH
        fields.length = 0 if in_chunks else length
        self.upload = BufferedUpload(Upload(fields, HttpConfig(), 100), fields, HttpConfig(), BUFFERING, budget)
        self.left = b"%x\r\n%b\r\n0\r\n\r\n" % (length, b"x" * length) if in_chunks else b"x" * length


class Bodies(RuleBasedStateMachine):
    """Uploads and replies that come, wait, move on and break off in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = BufferBudget()
        self.uploads: list[_Body] = []
        self.replies: list[tuple[ReplyBuffer, FakeTransport]] = []

    @rule(length=st.integers(1, 500), in_chunks=st.booleans())
    def upload_begins(self, length: int, in_chunks: bool) -> None:
        self.uploads.append(_Body(self.budget, length, in_chunks=in_chunks))

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0), size=st.integers(1, READ))
    def upload_arrives(self, which: int, size: int) -> None:
        body = self.uploads[which % len(self.uploads)]
        if body.upload.is_waiting and body.left:
            part, body.left = body.left[:size], body.left[size:]
            body.upload.hold(body.upload.feed(part))

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0), may_repeat=st.booleans(), is_read=st.booleans())
    def upload_is_sent(self, which: int, may_repeat: bool, is_read: bool) -> None:
        upload = self.uploads[which % len(self.uploads)].upload
        if not upload.is_waiting:
            upload.sent(may_repeat)
            if upload.kept is None and is_read:
                upload.release()

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0), times=st.integers(1, 2))
    def upload_ends(self, which: int, times: int) -> None:
        body = self.uploads.pop(which % len(self.uploads))
        for _ in range(times):
            body.upload.release()

    @rule()
    def client_becomes_slow(self) -> None:
        transport = FakeTransport()
        self.replies.append((ReplyBuffer(transport, BUFFERING, self.budget), transport))

    @precondition(lambda self: self.replies)
    @rule(which=st.integers(0), size=st.integers(1, READ))
    def reply_arrives(self, which: int, size: int) -> None:
        buffer, _ = self.replies[which % len(self.replies)]
        if not buffer.is_full:
            buffer.add(b"y" * size)

    @precondition(lambda self: self.replies)
    @rule(which=st.integers(0))
    def client_takes_a_part(self, which: int) -> None:
        buffer, transport = self.replies[which % len(self.replies)]
        before = len(buffer) + len(transport.written)
        buffer.pass_on()
        assert len(buffer) + len(transport.written) == before

    @precondition(lambda self: self.replies)
    @rule(which=st.integers(0), is_flushed=st.booleans(), times=st.integers(1, 2))
    def client_ends(self, which: int, is_flushed: bool, times: int) -> None:
        buffer, _ = self.replies.pop(which % len(self.replies))
        if is_flushed:
            buffer.flush()
        for _ in range(times):
            buffer.release()

    @invariant()
    def what_is_held_is_counted(self) -> None:
        held = sum(len(buffer) for buffer, _ in self.replies)
        held += sum(len(body.upload._bytes) for body in self.uploads)
        assert held <= self.budget.held
        assert self.budget.held < TOTAL + READ * (len(self.uploads) + len(self.replies) + 1)

    def teardown(self) -> None:
        for body in self.uploads:
            body.upload.release()
        for buffer, _ in self.replies:
            buffer.release()
        assert self.budget.held == 0


TestBodies = Bodies.TestCase
TestBodies.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
