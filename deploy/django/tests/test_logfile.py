"""Tests lines of many processes and threads, with rotations of every kind."""

import logging
import logging.handlers
import multiprocessing
import os
import resource
import signal
import threading

import pytest

from django_audit_logger.logfile import LogFile

PROCESSES = 4
LINES = 1500
SMALL = 20_000
MANY = 1000

fork = multiprocessing.get_context("fork")


def stored(directory):
    """Returns every line with its number of occurrences."""
    lines = {}
    for path in directory.iterdir():
        data = path.read_bytes()
        assert data == b"" or data.endswith(b"\n")
        for line in data.splitlines():
            lines[line.decode()] = lines.get(line.decode(), 0) + 1
    return lines


def expected():
    names = (f"{who}:{nth}:{'x' * (nth % 90)}" for who in range(PROCESSES) for nth in range(LINES))
    return dict.fromkeys(names, 1)


def in_processes(write_lines):
    workers = [fork.Process(target=write_lines, args=(who,)) for who in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


def write_all(log, who):
    for nth in range(LINES):
        log.write(f"{who}:{nth}:{'x' * (nth % 90)}\n".encode())


def test_processes_that_rotate_lose_and_double_nothing(tmp_path):
    log = LogFile(str(tmp_path / "a.log"), SMALL, MANY)
    log.write(b"before the fork\n")  # so that all share this descriptor
    in_processes(lambda who: write_all(log, who))
    assert stored(tmp_path) == {**expected(), "before the fork": 1}
    assert len(list(tmp_path.iterdir())) > 5


def test_the_standard_handler_loses_lines_where_two_rotate_at_once(tmp_path):
    """Runs two handlers, as in two processes, in the order that loses lines. One has moved the
    backups up. Before it removes `.1`, the other rotates. So the other's lines are removed."""

    def handler():
        return logging.handlers.RotatingFileHandler(tmp_path / "a.log", backupCount=MANY)

    def write(to, line):
        to.handle(logging.makeLogRecord({"msg": line}))

    one, other = handler(), handler()
    write(one, "of one")
    write(other, "of the other")

    asked = []

    def named(name):
        """Gets `.1` first as the backup to move up, then as the new name of the log."""
        asked.append(name)
        if asked.count(str(tmp_path / "a.log.1")) == 2:
            other.doRollover()
        return name

    one.namer = named
    one.doRollover()
    assert stored(tmp_path) == {}


def test_threads_share_one_log(tmp_path):
    log = LogFile(str(tmp_path / "a.log"), SMALL, MANY)
    threads = [threading.Thread(target=write_all, args=(log, who)) for who in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(tmp_path) == expected()


def test_size_and_number_of_files_are_limited(tmp_path):
    log = LogFile(str(tmp_path / "a.log"), 100, 3)
    for nth in range(50):
        log.write(b"%030d\n" % nth)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert (tmp_path / "a.log").read_bytes().endswith(b"%030d\n" % 49)


@pytest.mark.parametrize(("max_bytes", "backup_count"), [(0, 10), (100, 0)])
def test_zero_never_rotates(tmp_path, max_bytes, backup_count):
    log = LogFile(str(tmp_path / "a.log"), max_bytes, backup_count)
    for _ in range(50):
        log.write(b"x" * 30 + b"\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


def test_a_line_larger_than_the_limit_is_written_whole(tmp_path):
    log = LogFile(str(tmp_path / "a.log"), 100, 3)
    for line in (b"a\n", b"x" * 500 + b"\n", b"b\n"):
        log.write(line)
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 500 + b"\n"


def test_a_file_that_logrotate_renamed_is_left(tmp_path):
    log = LogFile(str(tmp_path / "a.log"))
    log.write(b"one\n")
    (tmp_path / "a.log").rename(tmp_path / "a.log-20261124")
    log.write(b"two\n")
    (tmp_path / "a.log").unlink()
    log.write(b"three\n")
    assert (tmp_path / "a.log-20261124").read_bytes() == b"one\n"
    assert (tmp_path / "a.log").read_bytes() == b"three\n"


def test_a_file_that_was_cut_off_is_appended_to(tmp_path):
    log = LogFile(str(tmp_path / "a.log"))
    log.write(b"a long first line\n")
    os.truncate(tmp_path / "a.log", 0)
    log.write(b"two\n")
    assert (tmp_path / "a.log").read_bytes() == b"two\n"


def test_the_directory_is_made_and_others_cannot_read(tmp_path):
    log = LogFile(str(tmp_path / "new" / "deep" / "a.log"))
    log.write(b"one\n")
    assert (tmp_path / "new/deep/a.log").stat().st_mode & 0o007 == 0


def test_a_rotation_that_hangs_blocks_no_other_writer(tmp_path):
    import fcntl

    log = LogFile(str(tmp_path / "a.log"), 10, 3)
    log.write(b"12345678\n")
    with open(tmp_path / "a.log") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        log.write(b"more\n")
    assert (tmp_path / "a.log").read_bytes() == b"12345678\nmore\n"
    log.write(b"next\n")
    assert (tmp_path / "a.log").read_bytes() == b"next\n"


def test_a_line_after_a_torn_one_begins_anew(tmp_path):
    log = LogFile(str(tmp_path / "a.log"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        with pytest.raises(OSError, match="10 of 21 bytes"):
            log.write(b"x" * 20 + b"\n")
        with pytest.raises(OSError):
            log.write(b"lost\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.write(b"whole\n")
    assert (tmp_path / "a.log").read_bytes() == b"x" * 10 + b"\nwhole\n"
