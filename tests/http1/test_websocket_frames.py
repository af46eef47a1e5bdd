"""Frame boundaries, compared with a simple parser: any frames, split anywhere, valid or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from balance.http1.websocket_frames import FrameTracker, close_frame

MASK = b"\x01\x02\x03\x04"


def frame(
    payload: bytes = b"", *, opcode: int = 2, fin: int = 1, rsv: int = 0, is_masked: bool = False, size: int = -1
) -> bytes:
    """One frame; `size` says how many bytes the length is written in, where that is not the fewest."""
    length = len(payload)
    if size < 0:
        size = 0 if length < 126 else 2 if length < 1 << 16 else 8
    head = bytes((fin << 7 | rsv << 4 | opcode, is_masked << 7 | {0: length, 2: 126, 8: 127}[size]))
    return head + (length.to_bytes(size) if size else b"") + (MASK if is_masked else b"") + payload


def boundaries(data: bytes, *, is_masked: bool) -> tuple[set[int], int]:
    """What the RFC says, byte by byte: after how many bytes a frame may be put in, and after how many nothing is known any more
    (a Close has passed, or the rules are broken), or never: -1."""
    found, at = {0}, 0
    while True:
        if len(data) < at + 2:
            return found, -1
        first, second = data[at : at + 2]
        opcode, length, size = first % 16, second % 128, 0
        if opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) or (second >= 128) != is_masked:
            return found, at
        if opcode >= 8 and (length > 125 or first < 128):
            return found, at
        if length > 125:
            size = 2 if length == 126 else 8
            if len(data) < at + 2 + size:
                return found, -1
            written, length = length, int.from_bytes(data[at + 2 : at + 2 + size])
            if length < {126: 126, 127: 65536}[written] or length >= 2**63:
                return found, at
        at += 2 + size + (4 if is_masked else 0) + length
        if len(data) < at:
            return found, -1
        if opcode == 8:
            return found, at
        found.add(at)


FRAMES = st.builds(
    frame,
    st.one_of(st.binary(max_size=12), st.sampled_from([125, 126, 127, 300, 65535, 65536, 70000]).map(bytes)),
    opcode=st.sampled_from([0, 1, 2, 2, 2, 9, 10, 8, 3]),
    fin=st.sampled_from([0, 1, 1]),
    rsv=st.sampled_from([0, 4]),
    is_masked=st.sampled_from([False, False, False, True]),
    size=st.sampled_from([-1, -1, -1, 8]),
)


@given(st.lists(FRAMES, max_size=8).map(b"".join), st.booleans(), st.data())
def test_any_stream_cut_anywhere_has_its_places_where_the_rfc_says(stream: bytes, flip: bool, data: st.DataObject) -> None:
    if flip and stream:
        place = data.draw(st.integers(0, min(len(stream), 40) - 1))
        stream = stream[:place] + bytes((stream[place] ^ 1 << data.draw(st.integers(0, 7)),)) + stream[place + 1 :]
    cuts = data.draw(st.lists(st.one_of(st.integers(0, min(len(stream), 40)), st.integers(0, len(stream))), max_size=12))
    found, end = boundaries(stream, is_masked=False)
    frames, at = FrameTracker(is_masked=False), 0
    for cut in [*sorted(cuts), len(stream)]:
        chunk = stream[at:cut]
        is_known = end < 0 or at < end or (at == end and not frames.is_out_of_sync and not frames.has_closed)
        if is_known and not frames.has_closed:
            following = [place - at for place in found if at <= place <= cut]
            if end >= 0 and at < end <= cut and end not in found:
                following.append(end - at)  # the Close's own end
            assert frames.bytes_to_boundary(chunk) == min(following, default=-1)
        frames.feed(chunk)
        at = cut
        assert frames.is_at_boundary == (at in found and not frames.is_out_of_sync)
        assert len(frames._head) < 14
    whole = FrameTracker(is_masked=False)
    whole.feed(stream)
    assert (whole.is_at_boundary, whole.has_closed, whole.is_out_of_sync) == (
        frames.is_at_boundary,
        frames.has_closed,
        frames.is_out_of_sync,
    )


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_place_is_known_again_after_exactly_one_frame(is_masked: bool, length: int) -> None:
    one = frame(bytes(length), is_masked=is_masked)
    frames = FrameTracker(is_masked=is_masked)
    places = []
    for index in range(min(20, len(one))):
        frames.feed(one[index : index + 1])
        places.append(frames.is_at_boundary)
    assert places[:-1] == [False] * (len(places) - 1)
    rest = one[20:] + b"\x82"
    if len(one) > 20:
        assert frames.bytes_to_boundary(rest[:-2]) == -1
        assert frames.bytes_to_boundary(rest) == len(one) - 20
        frames.feed(rest[:-1])
    assert frames.is_at_boundary


@pytest.mark.parametrize(
    "broken",
    [
        frame(b"x", opcode=3),
        frame(b"x", opcode=11),
        frame(bytes(126), opcode=9),
        frame(b"x", opcode=9, fin=0),
        frame(b"x", is_masked=True),
        frame(b"x" * 125, size=2),
        frame(b"x" * 65535, size=8),
        b"\x82\x7f\x80" + bytes(7),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_breaks_the_rules_has_no_place_for_ever(broken: bytes) -> None:
    for size in (1, 2, len(broken)):
        frames = FrameTracker(is_masked=False)
        for start in range(0, len(broken), size):
            frames.feed(broken[start : start + size])
        frames.feed(frame() * 3)
        assert (frames.is_out_of_sync, frames.is_at_boundary, frames.bytes_to_boundary(frame())) == (True, False, -1)


def test_nothing_may_follow_a_close() -> None:
    close = close_frame(1000)
    frames = FrameTracker(is_masked=False)
    for index in range(len(close)):
        assert not frames.has_closed
        frames.feed(close[index : index + 1])
    assert (frames.has_closed, frames.is_at_boundary) == (True, False)
    frames.feed(b"\xff\xff")
    assert (frames.has_closed, frames.is_out_of_sync) == (True, False)


@pytest.mark.parametrize("mask", [b"", MASK])
def test_close_is_read_by_others_as_it_was_meant(mask: bytes) -> None:
    data = close_frame(1001, mask)

    def read(size: int):  # type: ignore[no-untyped-def]
        nonlocal data
        taken, data = data[:size], data[size:]
        return taken
        yield

    parsing = Frame.parse(read, mask=bool(mask))
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert (done.value.value.opcode, done.value.value.data, data) == (Opcode.CLOSE, b"\x03\xe9", b"")
