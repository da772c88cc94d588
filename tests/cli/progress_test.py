"""What people see of long work: a line that renews itself on a terminal, a line every ten seconds in a file.
Runs in the build tree."""
import os
import pty
import subprocess
import time
import unittest

TINY = "resnet_basic?widths=4,8&blocks=1,1&image_size=8&in_channels=1&classes=4"
EVALUATE = ["evaluate", TINY, "--data", "synthetic:4x1x8x8?n=20000", "--data.mean", "[0.5]", "--data.stddev", "[0.3]",
            "--batch_size", "50", "--latency_runs", "3000", "--threads", "1"]
PROFILE = ["profile", TINY, "--runs", "5000", "--threads", "1"]


def on_terminal(*arguments):
    """Standard error as a terminal shows it, and standard output."""
    parent, child = pty.openpty()
    process = subprocess.Popen(["./limbeck", *arguments], stdout=subprocess.PIPE, stderr=child, text=True)
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:  # the terminal is gone when the program has ended
            break
        if not part:
            break
        shown += part
    os.close(parent)
    out = process.communicate()[0]
    assert process.returncode == 0, shown
    return shown.decode(), out


class Progress(unittest.TestCase):
    def test_a_terminal_sees_how_far_it_is(self):
        shown, out = on_terminal(*EVALUATE)
        self.assertRegex(shown, r"\r\[1/1\] evaluate  evaluating resnet_basic  [\d,]+/20,000  [\d.]+ .?s left")
        self.assertRegex(shown, r"\r\[1/1\] evaluate  timing calls  [\d,]+/3,000  [\d.]+ .?s left")
        self.assertIn("top-1", out)
        shown, out = on_terminal(*PROFILE)
        self.assertRegex(shown, r"timing calls  [\d,]+/5,000  [\d.]+ .?s left")
        self.assertTrue(shown.rstrip(" \r").endswith("left"), repr(shown[-200:]))
        self.assertTrue(shown.endswith(" \r"), "the line is taken back before the result")

    def test_a_file_gets_whole_lines_and_few(self):
        for arguments in (EVALUATE, PROFILE):
            begin = time.monotonic()
            done = subprocess.run(["./limbeck", *arguments], capture_output=True, text=True)
            seconds = time.monotonic() - begin
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("\r", done.stderr)
            self.assertLessEqual(done.stderr.count(" left\n"), seconds / 10)

    def test_quiet_is_quiet(self):
        self.assertEqual(on_terminal(*EVALUATE, "--quiet")[0], "")
        self.assertEqual(on_terminal(*PROFILE, "--quiet")[0], "")


if __name__ == "__main__":
    unittest.main()
