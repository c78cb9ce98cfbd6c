from __future__ import annotations

import io

from stratuslab.cloud.terminal import Terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_output_says_each_step_once_in_lines_of_its_own() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, {})
    terminal.progress("Waiting …")
    terminal.progress("Waiting …")
    terminal.line(terminal.bold("Done."))
    assert stream.getvalue() == "Waiting …\nDone.\n"
    assert not terminal.interactive


def test_on_a_terminal_progress_renews_itself_and_gives_way_to_lines() -> None:
    stream = Screen()
    terminal = Terminal(stream, {"NO_COLOR": "1"})
    terminal.progress("One …")
    terminal.progress("Two …")
    terminal.line("Done.")
    assert stream.getvalue() == "\r\x1b[KOne …\r\x1b[KTwo …\r\x1b[KDone.\n"


def test_colours_only_where_they_are_wanted() -> None:
    assert Terminal(Screen(), {}).bold("x") == "\x1b[1mx\x1b[0m"
    assert Terminal(Screen(), {"NO_COLOR": "1"}).bold("x") == "x"
    assert Terminal(io.StringIO(), {}).bold("x") == "x"
