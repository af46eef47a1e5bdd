"""What hurt users of other terminal views and API clients: situations of the field checklist and reports, and their tests."""

from __future__ import annotations

import pytest
from situations import TESTS, names_in

SITUATIONS: dict[str, tuple[str, str]] = {
    "S38, apisix PR 2216": ("two operators who change a weight at once", """
        client/test_client_client.py::second_of_two_who_change_the_same_is_refused
        client/test_client_client.py::every_method_has_an_endpoint_and_its_parameters
        cli/top/test_top_command.py::order_is_confirmed_and_goes_to_the_chosen_backend"""),
    "S39, go-tty PR 16, textadept#582": ("resize, a tiny window, a pipe, no TERM, then Ctrl-C", """
        cli/top/test_top_command.py::window_of_another_size_is_drawn_anew
        cli/top/test_top_command.py::into_a_pipe_it_prints_again_and_again
        cli/top/test_top_command.py::without_a_terminal_that_is_known_it_prints
        cli/top/test_top_command.py::whatever_ends_it_the_terminal_is_as_before"""),
    "btop#263, chkservice#5": ("a window that was too small, or only changed, and what shows nothing or ends", """
        cli/top/test_top_command.py::window_of_another_size_is_drawn_anew
        cli/top/test_screen.py::no_line_is_too_wide_and_there_are_as_many_as_asked_for"""),
    "giterm#9, pulseaudio-mixer-cli#3": ("addstr() that fails in a narrow window", """
        cli/top/test_screen.py::no_line_is_too_wide_and_there_are_as_many_as_asked_for"""),
    "turnkeylinux/tracker#2012": ("a TERM that terminfo does not know", """
        cli/top/test_top_command.py::without_a_terminal_that_is_known_it_prints"""),
    "notcurses#2407, Cataclysm-DDA#73272": ("a signal or an error that leaves the terminal without echo", """
        cli/top/test_top_command.py::whatever_ends_it_the_terminal_is_as_before
        cli/top/test_top_command.py::error_within_leaves_the_terminal_as_before
        cli/top/test_top_command.py::it_can_be_suspended_and_goes_on"""),
    "bpytop#37": ("wide characters that push columns aside", """
        cli/top/test_cells.py::cell_is_as_wide_as_it_should_be"""),
    "kubernetes#101695 (CVE-2021-25743), sbsh#390": ("names with escape sequences that the terminal obeys", """
        client/test_printable.py::nothing_is_left_that_moves_a_cursor
        client/test_printable.py::json_means_the_same_and_shows_no_controls
        cli/top/test_top_command.py::names_of_others_cannot_reach_the_terminal"""),
    "a terminal that is gone, without a signal": ("a view that reads on at full speed", """
        cli/top/test_top_command.py::it_ends_with_its_terminal_though_no_signal_says_so"""),
    "kubernetes-client#656, haystack#11808": ("a token in an error about a header, in a repr, in a traceback", """
        client/test_access.py::what_is_no_token_is_not_sent_and_not_shown
        client/test_access.py::token_shows_itself_to_nobody
        client/test_access.py::no_error_and_no_frame_of_one_has_the_token"""),
    "reqwest#243, httpbin#642": ("a time limit of each read, and a server that sends a byte now and then", """
        client/test_client_connection.py::reply_that_comes_a_byte_at_a_time_ends_with_the_time_limit"""),
    "growthbook-golang#51, vayu#21": ("events that are lost, or all come again, after a lost connection", """
        client/test_client_events.py::it_connects_again_and_asks_for_what_came_after_the_last
        client/test_client_instance.py::orders_and_events_over_the_death_of_control"""),
}  # fmt: skip


def has(file: str, name: str) -> bool:
    names = names_in(TESTS / file)
    return any(f"test_{article}{name}" in names for article in ("", "a_", "an_", "the_"))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_is_shown_by_tests_that_there_are(situation: str) -> None:
    named = [each.partition("::") for each in SITUATIONS[situation][1].split()]
    assert named
    assert [name for file, _, name in named if not has(file, name)] == []
