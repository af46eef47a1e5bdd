"""Who is stuck, as a run of looks."""

from balance.process.children.stall_detector import MAX_MISSED_CHECKS, StallDetector


def test_a_missing_heartbeat_is_a_stall_after_so_many_checks_reported_once() -> None:
    stall_detector = StallDetector()
    found = [stall_detector.stalled({"a": 100 + look, "b": 7}) for look in range(2 * MAX_MISSED_CHECKS)]
    assert found == [[]] * MAX_MISSED_CHECKS + [["b"]] + [[]] * (MAX_MISSED_CHECKS - 1)


def test_one_heartbeat_is_enough() -> None:
    stall_detector = StallDetector()
    assert [stall_detector.stalled({"a": look // MAX_MISSED_CHECKS}) for look in range(5 * MAX_MISSED_CHECKS)] == [
        []
    ] * 5 * MAX_MISSED_CHECKS


def test_a_restarted_worker_starts_with_no_missed_checks() -> None:
    stall_detector = StallDetector()
    for _ in range(MAX_MISSED_CHECKS):
        assert stall_detector.stalled({"first": 7}) == []
    assert stall_detector.stalled({"second": 7}) == []
    assert stall_detector.stalled({"second": 7}) == []
