# SPDX-License-Identifier: BSD-2-Clause
"""FreeBSD from here: objects and what is proved of them, sysroots, results."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci.freebsd import elf, guests, proofs, sets, targets
from ci.steps import StepFailed
from ci.vm.freebsd_outcome import BEGIN, END, judge, reports
from ci.vm.outcome import Outcome

# What a module has, in small: a set each, and for which kernel it is.
MODULE = """
#define SET(s, v) void *s##_##v __attribute__((section("set_" #s), used)) = &v
int far_away(int);
struct { int low, best, high; } _small_depend_on_kernel =
    { 1004000, 1004000, 1099999 };
int init(void) { return far_away(1); }
SET(modmetadata_set, _small_depend_on_kernel);
SET(sysinit_set, init);
"""
TEN = targets.Target("10.4", 1004000, (), (), "nothing")
FOURTEEN = targets.Target("14.2", 1402000, (), (), "nothing")


class Asker:
    """As much of a Step as proofs want."""

    def ask(self, argv: list[str | Path]) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def compiled(folder: Path, text: str, *flags: str, system: str = "freebsd10.4") -> Path:
    source, obj = folder / "small.c", folder / "small.o"
    source.write_text(text)
    usual = ["-O2", "-fno-pic", "-mcmodel=kernel", "-mno-sse", "-fno-common"]
    usual += ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
    argv = ["clang-16", f"--target=x86_64-unknown-{system}", *usual, *flags]
    subprocess.run([*argv, "-c", source, "-o", obj], check=True)
    return obj


def preprocessed(words: str) -> str:
    return f'# 1 "/usr/include/sys/systm.h" 1 3\n{words}\n# 2 "{proofs.SYS}/a.c" 2\nx\n'


# ---- objects -------------------------------------------------------------------


def test_a_call_s_relocation_becomes_one_that_10_4_knows(tmp_path: Path) -> None:
    obj = compiled(tmp_path, MODULE)
    assert "PLT32" in {r.name for r in elf.Elf(obj).relocations()}
    before = [(r.at, r.symbol) for r in elf.Elf(obj).relocations()]
    with pytest.raises(StepFailed, match="R_X86_64_PLT32, which"):
        proofs._relocations(elf.Elf(obj), TEN)
    proofs._relocations(elf.Elf(obj), FOURTEEN)
    assert elf.retype(obj, elf.PLT32, elf.PC32) == 1
    assert [(r.at, r.symbol) for r in elf.Elf(obj).relocations()] == before
    proofs._relocations(elf.Elf(obj), TEN)
    dumped = Asker().ask(["llvm-readelf-16", "-r", obj])
    assert "R_X86_64_PLT32" not in dumped and "far_away" in dumped


def test_a_good_module_passes(tmp_path: Path) -> None:
    obj = compiled(tmp_path, MODULE)
    elf.retype(obj, elf.PLT32, elf.PC32)
    assert proofs.module(Asker(), TEN, obj, preprocessed("int far_away(int);")) == 5


@pytest.mark.parametrize(
    ("text", "flags", "system", "said"),
    [
        (MODULE, (), "linux-gnu", "OSABI is 0"),
        (MODULE.replace("sysinit_set", "other_set"), (), "", "no set_sysinit_set"),
        (MODULE.replace("SET(modmetadata", "SET(meta"), (), "", "no set_modmetadata"),
        (MODULE.replace("{ 1004000,", "{ 1500500,"), (), "", "kernels 1500500"),
        (MODULE.replace("1099999", "1399999"), (), "", "to 1399999, not"),
        (MODULE.replace("_depend_on_", "_of_"), (), "", "which kernel it is for"),
        (MODULE.replace("far_away", "nowhere"), (), "", "nowhere is declared in no"),
        (MODULE, ("-fasynchronous-unwind-tables",), "", "a section .eh_frame"),
        (MODULE, ("-g",), "", "a section .debug_info"),
        (
            MODULE + "double twice(double x) { return x + x; }",
            ("-msse", "-msse2"),
            *("", "xmm0"),
        ),
        (
            MODULE
            + "extern char w __attribute__((weak)); void *p(void) { return &w; }",
            ("-fpic", "-mcmodel=small"),
            *("", "GOTPCREL"),
        ),
    ],
)
def test_what_no_kernel_would_take(
    tmp_path: Path, text: str, flags: tuple[str, ...], system: str, said: str
) -> None:
    obj = compiled(tmp_path, text, *flags, system=system or "freebsd10.4")
    elf.retype(obj, elf.PLT32, elf.PC32)
    with pytest.raises(StepFailed, match=said):
        proofs.module(Asker(), TEN, obj, preprocessed("int far_away(int);"))


def test_what_is_no_elf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ko"
    for data in (
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n" + bytes(100),
        b"\x7fELF\1\1" + bytes(99),
    ):
        path.write_bytes(data)
        with pytest.raises(elf.NotElf):
            elf.Elf(path)


def test_only_headers_of_others_declare() -> None:
    text = preprocessed("int theirs(void);\nextern int also;")
    assert proofs.declared(text) >= {"theirs", "also"}
    assert "x" not in proofs.declared(text)


def test_10_4_has_kernels_of_two_kinds() -> None:
    assert set(TEN.variants) == {"", "vimage"}
    assert "VIMAGE" not in TEN.options("")["opt_global.h"]
    assert "VIMAGE" in TEN.options("vimage")["opt_global.h"]
    assert set(FOURTEEN.variants) == {""}
    assert "VIMAGE" in FOURTEEN.options("")["opt_global.h"]


# ---- sysroots -------------------------------------------------------------------


def sysroot(top: Path, version: int = 1004000) -> Path:
    (top / "usr/include/sys").mkdir(parents=True)
    text = f"#undef __FreeBSD_version\n#define __FreeBSD_version {version}\t/* it */\n"
    (top / "usr/include/sys/param.h").write_text(text)
    return top


def test_a_sysroot_says_its_release(tmp_path: Path) -> None:
    top = sysroot(tmp_path / "root")
    it = targets.sysroot(top, None)
    assert (it.name, it.version, it.major) == ("10.4", 1004000, 10)
    assert it.kernel == (top / "usr/include",)
    assert not it.static and it.image is None
    (top / "usr/lib").mkdir()
    (top / "usr/lib/libc.a").touch()
    assert targets.sysroot(top, None).static
    assert [targets.release_of(v) for v in (1402000, 1500068)] == ["14.2", "15.0"]


def test_a_sysroot_with_the_source_has_its_headers(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(targets, "BUILDS", tmp_path / "build")
    top = sysroot(tmp_path / "root")
    for name in ("amd64/include", "x86/include", "contrib/altq", "kern"):
        (top / "usr/src/sys" / name).mkdir(parents=True)
    links, source, altq = targets.sysroot(top, None).kernel
    assert (links / "machine").resolve() == source / "amd64/include"
    assert (links / "x86").resolve() == source / "x86/include"
    assert altq == source / "contrib/altq"


def test_what_is_no_sysroot_is_told(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"no usr/include/sys/param\.h"):
        targets.sysroot(tmp_path, None)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTISTACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mirror's folder, with 10.4's sets in small."""
    top = tmp_path / "mirror"
    place = top / "releases/amd64/10.4-RELEASE"
    place.mkdir(parents=True)
    files = {
        "base.txz": ["usr/include/sys/param.h", "usr/lib/libc.a", "lib/libc.so.7"],
        "src.txz": ["usr/src/sys/kern/x.c", "usr/src/bin/x.c"],
        "kernel.txz": ["boot/kernel/kernel", "boot/kernel/big.ko"],
    }
    lines = []
    for name, members in files.items():
        with tarfile.open(place / name, "w:xz") as tar:
            for member in members:
                file = tmp_path / "member"
                file.write_text("#define __FreeBSD_version 1004000\n")
                tar.add(file, f"./{member}")
        digest = hashlib.sha256((place / name).read_bytes()).hexdigest()
        lines.append(f'{name}\t{digest}\t{len(members)}\t{name[:-4]}\t"..."\ton\n')
    (place / "MANIFEST").write_text("".join(lines))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(top))

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MULTISTACK_FREEBSD_MIRROR", url)
        yield place
        server.shutdown()
        thread.join()


def test_a_sysroot_of_a_release_s_sets(cache, mirror) -> None:
    said: list[str] = []
    root = sets.ensure("10.4", said.append)
    assert len(said) == 3
    assert targets.sysroot(root, None).name == "10.4"
    assert (root / "usr/src/sys/kern/x.c").exists()
    assert not (root / "usr/src/bin").exists()
    assert (root / "boot/kernel/kernel").exists()
    assert not (root / "boot/kernel/big.ko").exists()
    assert sets.ensure("10.4", said.append) == root
    assert len(said) == 3  # from the cache


def test_a_set_that_is_not_the_release_s_is_refused(cache, mirror) -> None:
    with (mirror / "src.txz").open("ab") as f:
        f.write(b"x")
    with pytest.raises(sets.Unreachable, match=r"src\.txz is not what"):
        sets.ensure("10.4", lambda text: None)
    assert not (cache / "freebsd" / "sysroot-10.4").exists()


def test_a_release_that_nobody_has(cache, mirror, monkeypatch) -> None:
    with pytest.raises(sets.Unreachable, match=r"no mirror has FreeBSD 9\.9"):
        sets.ensure("9.9", lambda text: None)
    monkeypatch.setenv("MULTISTACK_FREEBSD_MIRROR", "none")
    with pytest.raises(sets.Unreachable, match="none was to be asked"):
        sets.image("15.0", lambda text: None)


def test_an_official_image(cache, mirror) -> None:
    place = mirror.parents[1] / "VM-IMAGES/15.0-RELEASE/amd64/Latest"
    place.mkdir(parents=True)
    name = "FreeBSD-15.0-RELEASE-amd64-ufs.qcow2"
    (place / name).write_bytes(b"QFI\xfbdisk")
    subprocess.run(["xz", place / name], check=True)
    data = (place / f"{name}.xz").read_bytes()
    line = f"SHA256 ({name}.xz) = {hashlib.sha256(data).hexdigest()}\n"
    (place / "CHECKSUM.SHA256").write_text(line)
    assert sets.image("15.0", lambda text: None).read_bytes() == b"QFI\xfbdisk"


# ---- what became of a run --------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "kind", "tool"),
    [
        ("panic: mutex ms_ring not owned at /src/x.c:1", "panic", "kernel"),
        ("Fatal trap 12: page fault while in kernel mode", "oops", "kernel"),
        ("Fatal double fault", "oops", "kernel"),
        ("KASSERT failed: refcount", "warn", "INVARIANTS"),
        (
            'uma_zalloc_arg: zone "mbuf" with the following non-sleepable locks held:',
            *("warn", "WITNESS"),
        ),
        (
            "Warning: memory type multistack leaked memory on destroy (1 allocation)",
            *("leak", "malloc"),
        ),
        ("Freed UMA keg (ms_bind) was not empty (3 items).", "leak", "UMA"),
        ("multistack: ms_ring.c:20: not so: tail <= head", "warn", "kernel"),
    ],
)
def test_a_complaint_is_recognised(line: str, kind: str, tool: str) -> None:
    found = reports(f"boot\n{line}\n{BEGIN}\nok 1 - x\r\n{line}\r\n{END} 0.\n")
    assert [(r.kind, r.tool, r.title) for r in found] == [(kind, tool, line)]


def test_others_lock_orders_are_others_affair() -> None:
    lor = "lock order reversal:\n 1st 0x1 {} @ /usr/src/x.c:1\n 2nd 0x2 ufs\n"
    assert not reports(f"{BEGIN}\n{lor.format('bufwait')}")
    later = "ok 1 - x\nmultistack: version 0.1.0\n#1 ms_rx+0x1\n"
    assert not reports(f"{BEGIN}\n{lor.format('bufwait')}{later}")
    assert not reports("Freed UMA keg (udp_inpcb) was not empty (30 items).\n")
    assert reports(f"{BEGIN}\n{lor.format('multistack ctl_lock')}")
    assert reports(f"{BEGIN}\n{lor.format('x')}#3 0xf at ms_port_bind+0x7f\n")


@pytest.mark.parametrize(
    ("status", "line", "kind"),
    [
        (0, "", "ok"),
        (1, "", "failed"),
        (None, "", "hang"),
        (None, "panic: x", "panic"),
        (None, "Fatal trap 12: page fault", "oops"),
        (0, "Freed UMA keg (ms_bind) was not empty", "leak"),
    ],
)
def test_the_worst_is_told(status: int | None, line: str, kind: str) -> None:
    assert judge(status, reports(f"{BEGIN}\n{line}\n")) == kind


TAP = """\
1..4
# seed 7
ok 1 - open and info # 3 ms
em0: link state changed to UP
# x.c:12: does not hold
not ok 2 - every size # 10 ms
# skip: this kernel has one network for all
ok 3 - hosts # SKIP # 0 ms
ok 4 - a name - with a dash # 1 ms
"""


def outcome(folder: Path, text: str, kind: str, status: int | None) -> Outcome:
    (folder / "output.log").write_text(text)
    return Outcome(kind, status, 1.0, folder, [], "15.0-RELEASE")


def test_results_are_counted(tmp_path: Path) -> None:
    count = guests.counted("fb", outcome(tmp_path, TAP, "failed", 1))
    assert count.passed == 2
    assert count.failed == ["fb: every size"]
    assert count.skipped == ["fb: hosts: this kernel has one network for all"]


@pytest.mark.parametrize(
    ("text", "kind", "status", "said"),
    [
        (TAP.replace("1..4", "1..5"), "failed", 1, "4 results of 5 came"),
        ("", "ok", 0, "0 results of None came"),
        (TAP, "hang", None, "machine lost"),
        (TAP, "leak", 0, "kernel complained"),
        ("1..1\nok 1 - x\n", "failed", 1, "fb: exit status 1"),
    ],
)
def test_what_did_not_come_is_a_failure(
    tmp_path: Path, text: str, kind: str, status: int | None, said: str
) -> None:
    count = guests.counted("fb", outcome(tmp_path, text, kind, status))
    assert any(said in failed for failed in count.failed)
