# SPDX-License-Identifier: BSD-2-Clause
"""The machines' own machinery: what needs no kernel, no network, no root."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time

import pytest

from ci import coverage, steps
from ci.vm import guests, initramfs, job, kvm, outcome, packages, qemu, tsc
from ci.vm.outcome import judge, reports

BEGIN = "[    4.593402] multistack-vm: begin\n"
END = "[    6.270367] multistack-vm: end 0\n"

# A kernel's own words, and what they are.
LINES = [
    (
        "BUG: KASAN: slab-out-of-bounds in ms_rx+0x1a2/0x2b0 [multistack]",
        "oops",
        "KASAN",
    ),
    ("BUG: KFENCE: use-after-free read in ms_rx+0x11/0x20", "oops", "KFENCE"),
    (
        "BUG: KCSAN: data-race in ms_rx [multistack] / ms_tx [multistack]",
        "warn",
        "KCSAN",
    ),
    ("watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kt:212]", "hang", "watchdog"),
    ("INFO: task kt:212 blocked for more than 120 seconds.", "hang", "hung task"),
    ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "hang", "RCU"),
    ("rcu: INFO: rcu_sched self-detected stall on CPU", "hang", "RCU"),
    (
        "BUG: sleeping function called from invalid context at mm/slab.h:274",
        "warn",
        "atomic sleep",
    ),
    ("BUG: scheduling while atomic: kt/212/0x00000002", "warn", "atomic sleep"),
    ("WARNING: possible circular locking dependency detected", "warn", "lockdep"),
    ("WARNING: possible recursive locking detected", "warn", "lockdep"),
    ("WARNING: inconsistent lock state", "warn", "lockdep"),
    ("WARNING: suspicious RCU usage", "warn", "lockdep"),
    (
        "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
        "warn",
        "lockdep",
    ),
    ("[ BUG: Invalid wait context ]", "warn", "lockdep"),
    (
        "UBSAN: array-index-out-of-bounds in sys/core/ms_ring.c:81:9",
        "warn",
        "UBSAN",
    ),
    (
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "leak",
        "kmemleak",
    ),
    (
        "unregister_netdevice: waiting for veth0 to become free. Usage count = 2",
        "leak",
        "kernel",
    ),
    (
        "BUG multistack_port (Tainted: G O): Objects remaining in multistack_port "
        "on __kmem_cache_shutdown()",
        "leak",
        "slab",
    ),
    ("BUG kmalloc-64 (Tainted: G    B): Right Redzone overwritten", "oops", "slab"),
    ("WARNING: CPU: 0 PID: 212 at net/core/dev.c:10 dev_x+0x1/0x2", "warn", "kernel"),
    ("WARNING: net/core/dev.c:10 at dev_x+0x1/0x2, CPU#0: kt/212", "warn", "kernel"),
    ("BUG: kernel NULL pointer dereference, address: 00000008", "oops", "kernel"),
    ("BUG: unable to handle page fault for address: ffff8880", "oops", "kernel"),
    ("Oops: 0002 [#1] PREEMPT SMP NOPTI", "oops", "kernel"),
    ("general protection fault, probably for non-canonical address", "oops", "kernel"),
    ("divide error: 0000 [#1] PREEMPT SMP NOPTI", "oops", "kernel"),
    ("kernel BUG at sys/core/ms_ring.c:81!", "oops", "kernel"),
    ("Kernel panic - not syncing: Fatal exception in interrupt", "oops", "kernel"),
    ("Kernel panic - not syncing: sysrq triggered crash", "panic", "kernel"),
    ("Kernel panic - not syncing: NMI: Not continuing", "hang", "watchdog"),
]


@pytest.mark.parametrize(("line", "kind", "tool"), LINES)
def test_a_complaint_is_recognised(line: str, kind: str, tool: str) -> None:
    found = reports(f"{BEGIN}[    5.000000] {line}\n{END}")
    assert [(r.kind, r.tool, r.title) for r in found] == [(kind, tool, line)]


@pytest.mark.parametrize("stamp", ["", "[   12.345678] ", "[   12.345678][  T212] "])
def test_a_line_may_have_a_time_and_a_caller(stamp: str) -> None:
    found = reports(f"{BEGIN}{stamp}BUG: KASAN: use-after-free in f+0x1/0x2\r\n")
    assert [r.title for r in found] == ["BUG: KASAN: use-after-free in f+0x1/0x2"]


@pytest.mark.parametrize(
    "line",
    [
        "multistack: loading out-of-tree module taints kernel.",
        "multistack: module verification failed: signature and/or required key "
        "missing - tainting kernel",
        "Warning: unable to open an initial console.",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 1)",
        "traps: kt[212] general protection fault ip:7f sp:7f error:0 in libc.so",
        "virtiofs virtio1: virtio_fs_setup_dax: No cache capability",
        "rcu: Hierarchical RCU implementation.",
        "BUG: KCSAN: data-race in tick_nohz_stop_tick / tick_nohz_stop_tick",
        "INFO: NMI handler (nmi_cpu_backtrace_handler) took too long to run: 5 msecs",
    ],
)
def test_what_is_no_complaint(line: str) -> None:
    assert reports(f"{BEGIN}[    5.000000] {line}\n{END}") == []


def test_complaints_of_the_boot_are_not_the_jobs() -> None:
    assert reports(f"[    0.5] WARNING: CPU: 0 PID: 1 at x.c\n{BEGIN}{END}") == []


def test_a_console_without_the_job_counts_whole() -> None:
    found = reports("[    0.9] Kernel panic - not syncing: no init\n")
    assert [r.kind for r in found] == ["panic"]


@pytest.mark.parametrize(
    ("status", "lines", "kind"),
    [
        (0, [], "ok"),
        (3, [], "failed"),
        (None, [], "hang"),
        (0, ["WARNING: CPU: 0 PID: 1 at x.c:1 f"], "warn"),
        (1, ["WARNING: CPU: 0 PID: 1 at x.c:1 f"], "warn"),
        (None, ["Kernel panic - not syncing: sysrq triggered crash"], "panic"),
        (
            None,
            [
                "BUG: kernel NULL pointer dereference, address: 0",
                "Kernel panic - not syncing: Fatal exception",
            ],
            "oops",
        ),
        (None, ["WARNING: CPU: 0 PID: 1 at x.c:1 f"], "hang"),
        (None, ["Kernel panic - not syncing: NMI: Not continuing"], "hang"),
        (
            0,
            ["kmemleak: 1 new suspected memory leaks (see /sys)", "WARNING: a at b"],
            "warn",
        ),
    ],
)
def test_the_worst_is_told(status: int | None, lines: list[str], kind: str) -> None:
    assert judge(status, reports(BEGIN + "\n".join(lines))) == kind


def test_an_outcome_in_words(tmp_path) -> None:
    def words(kind, status, found=()) -> str:
        return str(outcome.Outcome(kind, status, 7.0, tmp_path, list(found)))

    assert words("ok", 0) == "ok"
    assert words("failed", 2) == "exit status 2"
    assert words("hang", None) == "hang: no answer in 7 s"
    leak = outcome.Report("leak", "kmemleak", "kmemleak: 1 new")
    warn = outcome.Report("warn", "kernel", "WARNING: x")
    assert words("warn", 0, [leak, warn]) == "warn: WARNING: x"


# ---- packages ----------------------------------------------------------------

META = """\
Package: linux-image-cloud-amd64
Version: 7.2.13-1
Depends: linux-base-cloud-amd64 (= 7.2.13-1), linux-image-7.2.13+deb14-cloud-amd64 \
(= 7.2.13-1)
Description: Linux for x86-64 cloud (meta-package)
 A line of its own: with a colon

Package: linux-image-cloud-amd64
Version: 7.1.2-1
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTISTACK_CACHE", str(tmp_path / "cache"))
    return packages.cache()


@pytest.fixture
def archive(cache, monkeypatch):
    """A suite's packages, by name: their fields."""
    found: dict[str, dict[str, str]] = {}

    def control(suite: str, package: str) -> dict[str, str]:
        if package not in found:
            raise packages.PackageError(f"{suite} has no package {package}")
        return found[package]

    monkeypatch.setattr(packages, "control", control)
    monkeypatch.setattr(packages, "refresh", lambda suite, max_days=0.0: None)
    return found


def test_fields_of_the_first_stanza() -> None:
    fields = packages.parse_control(META)
    assert fields["Version"] == "7.2.13-1"
    assert "A line of its own" not in fields


def test_the_package_behind_a_metapackage(archive) -> None:
    archive["linux-image-cloud-amd64"] = packages.parse_control(META)
    found = packages.behind("sid", "linux-image-cloud-amd64", "linux-image-")
    assert found == "linux-image-7.2.13+deb14-cloud-amd64"
    with pytest.raises(packages.PackageError, match="wants no linux-headers-"):
        packages.behind("sid", "linux-image-cloud-amd64", "linux-headers-")


def _kernel_tree(tree, release: str, *, apart: bool) -> None:
    room = tree / ("usr/lib" if apart else "lib") / "modules" / release
    (room / "kernel").mkdir(parents=True)
    image = room / "vmlinuz" if apart else tree / "boot" / f"vmlinuz-{release}"
    image.parent.mkdir(exist_ok=True)
    image.touch()


@pytest.mark.parametrize("apart", [False, True])
def test_a_distributions_kernel(archive, tmp_path, monkeypatch, apart) -> None:
    """Until 7.x an image has all in it, from then on it is three packages."""
    release = "7.2.13+deb14-cloud-amd64"
    parts = [f"linux-{p}-{release}" for p in ("binary", "modules")] if apart else []
    archive[guests.META] = {"Depends": f"linux-image-{release} (= 7.2.13-1)"}
    archive[f"linux-image-{release}"] = {"Depends": ", ".join(["kmod", *parts])}
    asked = []

    def fetch(suite, names):
        asked.extend(names)
        _kernel_tree(tmp_path / "tree", release, apart=apart)
        return tmp_path / "tree"

    monkeypatch.setattr(packages, "fetch", fetch)
    found = guests.distribution_kernel("linux-newest", "sid")
    assert asked == [f"linux-image-{release}", *parts]
    assert (found.release, found.kind, found.suite) == (release, "qemu", "sid")
    assert found.image.exists() and found.modules.name == release


def test_a_suite_without_the_kernel_gives_way_to_the_next(monkeypatch) -> None:
    tried = []

    def distribution_kernel(name, suite):
        tried.append(suite)
        if suite == "bookworm-backports":
            raise packages.PackageError("gone")
        return guests.Kernel(name, "qemu", "6.12", tmp)

    tmp = packages.Path("/nowhere")
    monkeypatch.setattr(guests, "distribution_kernel", distribution_kernel)
    assert guests.kernel("linux-6.12").release == "6.12"
    assert tried == ["bookworm-backports", "trixie"]


def test_a_new_version_is_a_new_tree(cache, archive, monkeypatch) -> None:
    made = []

    def download(suite, names, tree):
        made.append(archive["a"]["Version"])
        (tree / "file").write_text(made[-1])

    monkeypatch.setattr(packages, "_download", download)
    archive["a"] = {"Version": "1:1.0-1", "SHA256": "aa"}
    first = packages.fetch("sid", ["a"])
    assert packages.fetch("sid", ["a"]) == first
    archive["a"] = {"Version": "1:1.0-2", "SHA256": "bb"}
    second = packages.fetch("sid", ["a"])
    assert made == ["1:1.0-1", "1:1.0-2"]
    assert (first / "file").read_text() != (second / "file").read_text()


def test_a_moved_mirror_is_asked_for_its_index_once_more(
    cache, archive, monkeypatch
) -> None:
    refreshed = []
    monkeypatch.setattr(
        packages, "refresh", lambda suite, max_days=7.0: refreshed.append(max_days)
    )

    def download(suite, names, tree):
        if not refreshed:
            raise packages.PackageError("404  Not Found")

    monkeypatch.setattr(packages, "_download", download)
    archive["a"] = {"Version": "1", "SHA256": "aa"}
    assert packages.fetch("sid", ["a"]).is_dir()
    assert refreshed == [0]


def test_a_broken_download_leaves_no_tree(cache, archive, monkeypatch) -> None:
    def download(suite, names, tree):
        (tree / "half").touch()
        raise packages.PackageError("the network went")

    monkeypatch.setattr(packages, "_download", download)
    archive["a"] = {"Version": "1", "SHA256": "aa"}
    with pytest.raises(packages.PackageError, match="the network went"):
        packages.fetch("sid", ["a"])
    assert list((cache / "trees" / "sid").iterdir()) == []


def test_two_callers_download_once(cache, archive, monkeypatch) -> None:
    made = []

    def download(suite, names, tree):
        made.append(tree)
        time.sleep(0.1)

    monkeypatch.setattr(packages, "_download", download)
    archive["a"] = {"Version": "1", "SHA256": "aa"}
    callers = [
        threading.Thread(target=packages.fetch, args=("sid", ["a"])) for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(made) == 1


def test_a_tree_that_nobody_wants_goes(cache, archive, monkeypatch) -> None:
    monkeypatch.setattr(packages, "_download", lambda suite, names, tree: None)
    old = cache / "trees" / "sid" / "old_1_aa"
    old.mkdir(parents=True)
    long_ago = time.time() - (packages.UNUSED_DAYS + 1) * packages.DAY_S
    os.utime(old, (long_ago, long_ago))
    archive["a"] = {"Version": "1", "SHA256": "aa"}
    assert packages.fetch("sid", ["a"]).exists() and not old.exists()


# ---- kvm ---------------------------------------------------------------------


def test_kvm_is_tried_once_a_boot(cache, monkeypatch, tmp_path) -> None:
    tried = []

    def boots() -> bool:
        tried.append(1)
        return False

    monkeypatch.delenv("MULTISTACK_KVM", raising=False)
    monkeypatch.setattr(kvm, "DEVICE", tmp_path)
    monkeypatch.setattr(kvm, "BOOT_ID", tmp_path / "boot_id")
    kvm.BOOT_ID.write_text("one\n")
    assert not kvm.works(boots) and not kvm.works(boots)
    assert len(tried) == 1
    kvm.BOOT_ID.write_text("two\n")
    assert not kvm.works(boots)
    assert len(tried) == 2
    monkeypatch.setenv("MULTISTACK_KVM", "1")
    assert kvm.works(boots)


# ---- what a guest gets ---------------------------------------------------------


def test_nics_of_one_hub_see_each_other() -> None:
    first = qemu.nic(0, "virtio-net-pci,hub=3,guest_tso4=off")
    assert first == [
        "-netdev",
        "hubport,id=net0,hubid=3",
        "-device",
        "virtio-net-pci,netdev=net0,mac=52:54:00:4d:53:00,guest_tso4=off",
    ]
    assert "hubport,id=net1,hubid=0" in qemu.nic(1, "e1000")


def _job(tmp_path, *argv: str, **more) -> job.Job:
    return job.Job(argv, tmp_path / "re sults", **more)


def test_the_job_is_a_shell_script(tmp_path) -> None:
    task = _job(
        tmp_path,
        *("echo", "a b", "$HOME"),
        modules=[tmp_path / "x y.ko"],
        env={"SAID": "it's"},
    )
    text = job.script(task, "mount -t virtiofs results", tmp_path, "busybox reboot -f")
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    assert "export SAID='it'\"'\"'s'" in text
    assert text.rstrip().endswith("busybox reboot -f")


def test_the_initramfs_has_what_boots(tmp_path, monkeypatch) -> None:
    box = tmp_path / "box"
    box.write_bytes(b"\x7fELF busybox")
    monkeypatch.setattr(initramfs, "busybox", lambda: box)
    room = tmp_path / "modules"
    for name in ("fuse.ko", "virtiofs.ko", "overlay.ko"):
        (room / "kernel").mkdir(parents=True, exist_ok=True)
        (room / "kernel" / name).write_text(name)
    (room / "modules.dep").write_text(
        "kernel/fuse.ko:\nkernel/virtiofs.ko: kernel/fuse.ko\nkernel/overlay.ko:\n"
    )
    kernel = guests.Kernel("linux-6.1", "qemu", "6.1", box, room)
    initramfs.write(tmp_path / "initrd", kernel, "echo job\n")
    data = (tmp_path / "initrd").read_bytes()
    files = dict(_unpack(data))
    assert files["modules/order"][1] == b"fuse.ko virtiofs.ko overlay.ko"
    assert files["job"][1] == b"echo job\n"
    assert files["init"][0] & stat.S_IXUSR and stat.S_ISDIR(files["r"][0])
    assert files["bin/busybox"][1] == box.read_bytes()


def _unpack(data: bytes):
    """The entries of a newc archive: name, (mode, bytes)."""
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        at += (110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return
        yield name, (mode, data[at : at + size])
        at += (size + 3) & ~3


# ---- the clock -----------------------------------------------------------------


def test_the_counters_rate_is_one_a_processor_can_have() -> None:
    rate = tsc.khz()
    assert rate == 0 or 500_000 < rate < 10_000_000
    assert ("tsc_early_khz" in tsc.told()) == (rate > 0)


# ---- steps -----------------------------------------------------------------------


def test_lines_that_did_not_run_are_told_in_ranges() -> None:
    assert coverage.ranges([1, 2, 3, 7, 9, 10]) == "1-3 7 9-10"
    assert coverage.ranges([]) == ""


def test_steps_together_are_counted_as_one_by_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(steps, "LOGS", tmp_path)
    both = threading.Barrier(2, timeout=60)

    def good(step: steps.Step) -> steps.Count:
        both.wait()
        step.feed(b"said\n")
        return steps.Count(passed=2)

    def bad(step: steps.Step) -> steps.Count:
        both.wait()
        raise steps.StepFailed("as it was meant to")

    plan = [("first", lambda step: steps.Count(passed=1))]
    plan.append(steps.Together([("good", good), ("bad", bad)]))
    runner = steps.Runner(steps.size(plan))
    runner.follow(plan)
    assert (runner.count.passed, runner.count.failed) == (3, ["bad"])
    assert (tmp_path / "good.log").read_text() == "said\n"


def test_an_interrupt_stops_what_runs_together(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(steps, "LOGS", tmp_path)
    began, ended = threading.Event(), []

    def patient(step: steps.Step) -> steps.Count:
        began.set()
        try:
            while True:
                step.beat()
                time.sleep(0.01)
        finally:
            ended.append(step.title)

    def interrupted(step: steps.Step) -> steps.Count:
        began.wait(60)
        raise KeyboardInterrupt

    runner = steps.Runner(2)
    with pytest.raises(KeyboardInterrupt):
        runner.follow([steps.Together([("no", interrupted), ("yes", patient)])])
    assert len(ended) == 1
