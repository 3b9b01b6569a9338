# SPDX-License-Identifier: BSD-2-Clause
"""Asks the compiler how the public headers lay things out.

The names of structs, fields, enumerators and macros are read from the headers'
text, so that nothing can be forgotten; all values come from a C program that is
written, compiled and run here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

_STRUCT = re.compile(r"^(?:typedef )?struct (\w+) \{[ \t]*\n(.*?)^\}", re.M | re.S)
_ENUM = re.compile(r"^enum (\w+) \{(.*?)\}", re.M | re.S)
_FIELD = re.compile(r"(\w+)\s*(?:\[[^\]]*\]\s*)?(?=[,;])")
_MACRO = re.compile(r"^#define (MS_\w+)[ \t]+(?![ \t]*$)", re.M)
_ENUMERATOR = re.compile(r"\b(MS_\w+)\b\s*(?:=[^,}]*)?(?:,|$)", re.M)


def _plain(path: Path) -> str:
    """A header's text without comments and with its lines joined."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)
    return text.replace("\\\n", " ")


def names(*headers: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Structs with their fields, and constants, that the headers define."""
    structs: dict[str, list[str]] = {}
    constants: list[str] = []
    for text in map(_plain, headers):
        for tag, body in _STRUCT.findall(text):
            structs[tag] = _FIELD.findall(body)
        constants += _MACRO.findall(text)
        for tag, body in _ENUM.findall(text):
            if tag != "ms_counter":  # made by a macro; taken from there
                constants += _ENUMERATOR.findall(body)
    return structs, sorted({*constants, "MS_CTR_MAX"})


def program(
    headers: list[str], structs: dict[str, list[str]], constants: list[str]
) -> str:
    """C that prints it all as JSON."""
    out = ["#include <stddef.h>", "#include <stdio.h>"]
    out += [f"#include <{h}>" for h in headers]
    out += ["int main(void)", "{", '\tprintf("{\\"structs\\":{");']
    for i, (tag, fields) in enumerate(structs.items()):
        comma = "," if i else ""
        out.append(f'\tprintf("{comma}\\"{tag}\\":[%zu,{{", sizeof(struct {tag}));')
        for j, f in enumerate(fields):
            comma = "," if j else ""
            out.append(
                f'\tprintf("{comma}\\"{f}\\":[%zu,%zu]", offsetof(struct {tag}, {f}), '
                f"sizeof(((struct {tag} *)0)->{f}));"
            )
        out.append('\tprintf("}]");')
    out.append('\tprintf("},\\"constants\\":{\\"\\":0");')
    out += [f'\tprintf(",\\"{c}\\":%lld", (long long)({c}));' for c in constants]
    out.append('\tprintf("},\\"counters\\":[");')
    out.append(
        '#define X(N, n, m) printf("%s[\\"%s\\",\\"%s\\",\\"%s\\"]", '
        'MS_CTR_##N ? "," : "", #N, n, m);'
    )
    out += ["\tMS_COUNTERS(X)", '\tprintf("]}\\n");', "\treturn 0;", "}"]
    return "\n".join(out) + "\n"


def dump(root: Path, scratch: Path) -> dict[str, Any]:
    """The layout of the headers below root: {"structs": {tag: [bytes, {field:
    [offset, bytes]}]}, "constants": {name: value}, "counters": [[NAME, name,
    meaning]]}."""
    abi, port = root / "sys/multistack.h", root / "lib/include/multistack/port.h"
    structs, constants = names(abi, port)
    source, binary = scratch / "abi_dump.c", scratch / "abi_dump"
    source.write_text(
        program(["multistack.h", "multistack/port.h"], structs, constants)
    )
    cc = shlex.split(os.environ.get("CC", "cc"))
    include = [f"-I{abi.parent}", f"-I{port.parents[1]}"]
    subprocess.run([*cc, "-std=c11", *include, "-o", binary, source], check=True)
    found = json.loads(subprocess.run([binary], check=True, capture_output=True).stdout)
    del found["constants"][""]
    return dict(found)
