"""Who is stuck, as a run of looks."""

from balance.process.children.stall_detector import MAX_MISSED_CHECKS, StallDetector


def test_a_worker_whose_beat_stands_still_is_stuck_after_so_many_looks_and_named_once() -> None:
    stall_detector = StallDetector()
    found = [stall_detector.stalled({"a": 100 + look, "b": 7}) for look in range(2 * MAX_MISSED_CHECKS)]
    assert found == [[]] * MAX_MISSED_CHECKS + [["b"]] + [[]] * (MAX_MISSED_CHECKS - 1)


def test_one_beat_is_enough_to_be_well() -> None:
    stall_detector = StallDetector()
    assert [stall_detector.stalled({"a": look // MAX_MISSED_CHECKS}) for look in range(5 * MAX_MISSED_CHECKS)] == [
        []
    ] * 5 * MAX_MISSED_CHECKS


def test_a_successor_starts_afresh() -> None:
    stall_detector = StallDetector()
    for _ in range(MAX_MISSED_CHECKS):
        assert stall_detector.stalled({"first": 7}) == []
    assert stall_detector.stalled({"second": 7}) == []
    assert stall_detector.stalled({"second": 7}) == []
