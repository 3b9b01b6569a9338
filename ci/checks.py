# SPDX-License-Identifier: BSD-2-Clause
"""What `inv test` and `inv lint` check, each check a step."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ci import freebsd, includes, inguest, kobj, wheel
from ci.freebsd import guests as freebsd_guests
from ci.freebsd import standin
from ci.steps import (
    BUILD,
    LOGS,
    ROOT,
    CommandFailed,
    Count,
    Plan,
    Step,
    StepFailed,
    StepFunction,
    Titled,
    Together,
    junit,
)

CLANG = "clang-16"

# Parts of a reason for which a test may be skipped in CI too.
EXPECTED_SKIPS: tuple[str, ...] = (
    "no thread sanitizer",  # whose own thread is not ours to look at
    "a data race on purpose",  # likewise TSan
    "this kernel has no such protocol",  # SCTP is a module
    # Of guests, where tests/kernel/guest.py knows of it.
    "guest uml",
    "guest linux-",
    "this kernel cannot make allocations fail",  # only debug kernels can
    "this kernel gives children more than it should",  # UML, of its process
    "a veth with a program of XDP takes no jumbo frames",
    # FreeBSD's: the reason says what has them run.
    "no image or no headers",
    "this kernel has one network for all",  # 10.4 without VIMAGE
    "here a descriptor keeps its network",
    "this kernel lets its users decide",
)

# Build directories: what they are configured with, beyond -Dwerror=true.
# asan is clang's: the same build checks the lock tags (-Wthread-safety) and
# holds the fuzz targets.
VARIANTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "plain": ([], {}),
    "asan": (
        ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true"],
        {"CC": CLANG},
    ),
    "tsan": (["-Db_sanitize=thread", "-Db_lundef=false"], {}),
}
FUZZ_S = 10  # for each target
OF_SWITCH = ("ctl", "parse", "proto", "region", "table")
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# The demo and the benchmarks take the package from the tree.
BINDINGS = {"PYTHONPATH": str(ROOT / "bindings")}


# ---- C -------------------------------------------------------------------


def compile_c(step: Step, variant: str = "plain") -> Path:
    """Configures and compiles one build directory; returns it."""
    path = BUILD / variant
    options, env = VARIANTS[variant]
    setup: list[str | Path] = ["meson", "setup", path, ROOT, "-Dwerror=true", *options]
    if (path / "build.ninja").exists():
        setup.append("--reconfigure")
    elif path.exists():
        shutil.rmtree(path)
    try:
        step.run(setup, env=env)
    except StepFailed:
        if setup[-1] != "--reconfigure":
            raise
        step.say("configuring afresh")
        shutil.rmtree(path)
        step.run(setup[:-1], env=env)
    step.run(["meson", "compile", "-C", path])
    return path


def c_tests(
    step: Step,
    variant: str,
    suites: list[str],
    match: str = "",
    env: dict[str, str] | None = None,
) -> Count:
    """Compiles a variant and runs the meson tests of some suites there."""
    path = compile_c(step, variant)
    names = [n for n in _test_names(step, path, suites) if match in n]
    if not names:
        return Count()
    argv = ["meson", "test", "-C", str(path), "--no-rebuild"]
    argv += ["--print-errorlogs", "--timeout-multiplier", "4"]
    if variant == "tsan" and _can_setarch():
        # gcc's and clang 16's runtime cannot place its shadow memory on a
        # kernel that randomizes mappings over 32 bits.
        argv += ["--wrapper", "setarch -R"]
    logs = path / "meson-logs"
    for old in logs.glob("testlog*.json"):
        old.unlink()
    argv += [f"--suite={s}" for s in suites]
    if match:
        argv += names
    step.run(argv, env=SANITIZER_OPTIONS | (env or {}), ok=range(256))
    found = list(logs.glob("testlog*.json"))  # a wrapper is in its name
    if not found:
        raise CommandFailed("meson test ran nothing")
    count = Count()
    for line in found[0].read_text(errors="replace").splitlines():
        count += _c_result(json.loads(line), variant)
    return count


def _can_setarch() -> bool:
    return os.system("setarch -R true 2>/dev/null") == 0


def _test_names(step: Step, path: Path, suites: list[str]) -> list[str]:
    tests = json.loads((path / "meson-info" / "intro-tests.json").read_text())
    return sorted(
        t["name"] for t in tests if any(s.split(":")[-1] in suites for s in t["suite"])
    )


_CMOCKA = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)", re.MULTILINE)
_CMOCKA_SKIPPED = re.compile(
    r"^\[ RUN      \] (\w+)\n((?:(?!\[ ).*\n)*)\[  SKIPPED \] \1$", re.MULTILINE
)
_CMOCKA_FAILED = re.compile(r"^\[  FAILED  \] (\w+)$", re.MULTILINE)


def _c_result(result: dict[str, object], variant: str) -> Count:
    """Counts one executable: by cmocka's closing lines, else as one test."""
    name = f"{variant}/{str(result['name']).split(':')[-1].split(' / ')[-1]}"
    outcome = str(result["result"])
    text = f"{result.get('stdout', '')}\n{result.get('stderr', '')}"
    if outcome == "SKIP":
        lines = text.strip().splitlines() or ["no reason given"]
        return Count(skipped=[f"{name}: {lines[-1]}"])
    found = _CMOCKA.findall(text)
    count = Count(passed=sum(map(int, found)))
    for case, said in _CMOCKA_SKIPPED.findall(text):
        reason = " ".join(said.split()) or "no reason given"
        count.skipped.append(f"{name}: {case}: {reason}")
    if outcome not in ("OK", "EXPECTEDFAIL"):
        cases = sorted(set(_CMOCKA_FAILED.findall(text)))
        count.failed += [f"{name}: {case}" for case in cases]
        if not cases:
            count.failed.append(f"{name} ({outcome.lower()})")
    elif not found:
        count.passed = 1
    return count


def fuzz(step: Step, switch: bool, match: str = "") -> Count:
    """Lets libFuzzer stir the corpora of the switch for a while, or the others."""
    count = Count()
    for target in sorted((BUILD / "asan" / "tests" / "fuzz").glob("fuzz-*")):
        name = target.name.removeprefix("fuzz-")
        if not target.is_file() or match not in name or (name in OF_SWITCH) != switch:
            continue
        found = BUILD / "fuzz" / name  # what it finds stays there
        found.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={FUZZ_S}", "-timeout=20", "-rss_limit_mb=4096"]
        argv: list[str | Path] = [target, *limits, "-print_final_stats=1"]
        argv += [f"-artifact_prefix={found}/", found]
        argv += [ROOT / "tests" / "fuzz" / "corpus" / name]
        try:
            step.run(argv, env=SANITIZER_OPTIONS)
            count.passed += 1
        except CommandFailed:
            count.failed.append(f"fuzz/{name}: {_why(step.log)}; input kept in {found}")
    return count


def _why(log: Path) -> str:
    """What the program that ended last said of its end."""
    said = log.read_text(errors="replace").rpartition("\n$ ")[2].splitlines()
    for mark in ("does not hold", "SUMMARY: ", "ERROR: "):
        for line in reversed(said):
            if mark in line:
                return line
    return "the log has no reason"


# ---- Python ----------------------------------------------------------------


def python_tests(step: Step, match: str = "") -> Count:
    """Builds the wheel and runs tests/python against it, by tox."""
    report = LOGS / "python.xml"
    report.unlink(missing_ok=True)
    # tox would make it for itself alone; some tests run as another user.
    (BUILD / "tox").mkdir(parents=True, exist_ok=True)
    argv = ["python", "-m", "tox", "run", "-e", "py", "--"]
    argv += [f"--junitxml={report}"]
    if match:
        argv += ["-k", match]
    step.run(argv, ok=range(256), env={"COLUMNS": "100"})
    if not report.exists():
        raise CommandFailed("the Python tests did not run")
    return junit(report)


# ---- lint ------------------------------------------------------------------


def tracked(*suffixes: str) -> Iterator[Path]:
    """Our files with one of the suffixes, without what was built."""
    skip = {"build", ".venv", ".tox", ".git", "results", "dist"}
    for top in sorted(ROOT.iterdir()):
        if top.name in skip or top.name.startswith("build-"):
            continue
        found = [top] if top.is_file() else sorted(top.rglob("*"))
        for path in found:
            if path.suffix in suffixes and not path.is_symlink():
                yield path


def clang_format(step: Step, fix: bool = False) -> Count:
    files = list(tracked(".c", ".h"))
    mode = ["-i"] if fix else ["--dry-run", "-Werror"]
    text = step.run(["clang-format", "--style=file", *mode, *files], ok=(0, 1))
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", text, re.MULTILINE)))
    if wrong:
        names = ", ".join(str(Path(w).relative_to(ROOT)) for w in wrong)
        raise StepFailed(f"./inv fmt would change {names}")
    return Count(passed=1)


def ruff(step: Step, fix: bool = False) -> Count:
    step.run(["ruff", "format", *([] if fix else ["--diff"]), "."])
    step.run(["ruff", "check", *(["--fix"] if fix else []), "."])
    return Count(passed=1)


def mypy(step: Step) -> Count:
    rooms = ("tasks.py", "ci", "bindings/multistack", "demo")
    step.run(["mypy", "--strict", *[r for r in rooms if (ROOT / r).exists()]])
    return Count(passed=1)


def who_includes_what(step: Step) -> Count:
    faults = includes.check(ROOT)
    for fault in faults:
        step.say(str(fault))
    if faults:
        raise StepFailed(f"{len(faults)} includes against the design")
    return Count(passed=1)


def links(step: Step) -> Count:
    """Every relative link in our Markdown leads somewhere."""
    broken = []
    for page in tracked(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    if broken:
        raise StepFailed("broken links: " + ", ".join(broken))
    return Count(passed=1)


LINT: list[tuple[str, StepFunction]] = [
    ("format of C", clang_format),
    ("ruff", ruff),
    ("types (mypy --strict)", mypy),
    ("who includes what", who_includes_what),
    ("links in the documents", links),
]


# ---- documents ---------------------------------------------------------------


def site(step: Step) -> Count:
    """The site, strictly: links, anchors, contents, references."""
    step.run(["mkdocs", "build", "--strict"], env={"NO_MKDOCS_2_WARNING": "1"})
    pages = len(list((BUILD / "site").rglob("*.html")))
    return Count(passed=1, note=f"{pages} pages in build/site")


PACKAGES: Titled = ("source package and wheel", wheel.packages)
SITE: Titled = ("site of the documents", site)


# ---- everything --------------------------------------------------------------


def demo_check(step: Step) -> Count:
    """The demo, held to what it promises."""
    if os.geteuid() != 0:
        return Count(skipped=["the demo makes network namespaces: run as root"])
    step.run(["python", "-m", "demo", "--check"], env=BINDINGS, timeout_s=300)
    return Count(passed=1)


def all_checks(fast: bool, match: str, seeds: int = 1) -> Plan:
    """The plan of `inv test`; seeds: so many times the usual."""
    unit = ["unit", "hostile"]

    def tests(variant: str, suites: list[str]) -> StepFunction:
        return lambda step: c_tests(step, variant, suites, match)

    def sim(variant: str, suite: str) -> StepFunction:
        env = {"SIM_SEEDS_TIMES": str(seeds)}
        if variant == "asan":
            env["SIM_SEEDS_PART"] = "5"  # each takes ten times as long
        return lambda step: c_tests(step, variant, [suite], match, env)

    selected: list[Titled | Together] = [
        ("C unit tests", tests("plain", [*unit, "model"])),
        ("TCP in simulation", sim("plain", "sim")),
    ]
    python = ("Python tests", lambda step: python_tests(step, match))
    if not fast:
        selected += [
            ("C unit tests, ASan and UBSan", tests("asan", unit)),
            ("TCP in simulation, ASan and UBSan", sim("asan", "sim-calls")),
            ("C unit tests, TSan", tests("tsan", unit)),
            ("fuzz corpora", tests("asan", ["fuzz"])),
            Together(
                [
                    ("fuzzing of the switch", lambda step: fuzz(step, True, match)),
                    ("fuzzing of the rest", lambda step: fuzz(step, False, match)),
                ]
            ),
        ]
    if match:
        return [*selected, python]
    if fast:
        return [*LINT, SITE, *selected, python]
    return [
        *LINT,
        *selected,
        # Of one processor each, most of the time.
        Together([*freebsd.STEPS, *kobj.STEPS, PACKAGES, SITE]),
        ("demo", demo_check),
        *inguest.plan(
            inguest.TESTED, share=True, beside=[python], after=[standin.STEP]
        ),
        *freebsd_guests.plan(),
    ]
