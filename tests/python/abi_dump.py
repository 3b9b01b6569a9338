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
_HOOK = re.compile(r"\(\*(\w+)\)\([^;]*\)")
_MACRO = re.compile(
    r"^#define ((?:MS|UTCP|MSLINK|MSBATCH|MSSIM)_\w+)[ \t]+(?![ \t]*$)", re.M
)
_ENUMERATOR = re.compile(
    r"\b((?:MS|UTCP|MSLINK|MSBATCH|MSSIM)_\w+)\b\s*(?:=[^,}]*)?(?:,|$)", re.M
)

# Enums that a macro makes: which, how its values' names begin, its entries.
LISTED = {
    "ms_counter": ("MS_COUNTERS", "MS_CTR_", "N, n, text"),
    "utcp_counter": ("UTCP_COUNTERS", "UTCP_CTR_", "N, n, text"),
    "utcp_opt": ("UTCP_OPTIONS", "UTCP_OPT_", "N, text, ..."),
    "mslink_counter": ("MSLINK_COUNTERS", "MSLINK_CTR_", "N, n, text"),
}


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
            structs[tag] = _FIELD.findall(_HOOK.sub(r"\1", body))
        constants += _MACRO.findall(text)
        for tag, body in _ENUM.findall(text):
            if tag in LISTED:
                constants.append(LISTED[tag][1] + "MAX")
            else:
                constants += _ENUMERATOR.findall(body)
    extern = {c for c in constants if c.endswith("_EXTERN")}
    return structs, sorted({*constants} - extern)


def program(
    headers: list[str],
    structs: dict[str, list[str]],
    constants: list[str],
    lists: list[str],
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
    out += [
        f'\tprintf(({c}) < 0 ? ",\\"{c}\\":%lld" : ",\\"{c}\\":%llu", (long long)({c}));'
        for c in constants
    ]
    out.append('\tprintf("},\\"lists\\":{\\"\\":0");')
    for tag in lists:
        macro, prefix, entry = LISTED[tag]
        out.append(f'\tprintf(",\\"{tag}\\":[");')
        out.append(
            f'#define X({entry}) printf("%s[\\"%s\\",\\"%s\\",%d]", '
            f'{prefix}##N ? "," : "", #N, text, (int){prefix}##N);'
        )
        out += [f"\t{macro}(X)", "#undef X", '\tprintf("]");']
    out += ['\tprintf("}}\\n");', "\treturn 0;", "}"]
    return "\n".join(out) + "\n"


def dump(root: Path, scratch: Path, *headers: str) -> dict[str, Any]:
    """The layout of the headers, of those below root: {"structs": {tag: [bytes,
    {field: [offset, bytes]}]}, "constants": {name: value}, "lists": {enum:
    [[NAME, text, value]]}}."""
    dirs = [root / "sys", root / "lib/include"]
    paths = [next(d / h for d in dirs if (d / h).exists()) for h in headers]
    structs, constants = names(*paths)
    lists = [tag for p in paths for tag in LISTED if f"enum {tag} {{" in _plain(p)]
    source, binary = scratch / "abi_dump.c", scratch / "abi_dump"
    source.write_text(program(list(headers), structs, constants, lists))
    cc = shlex.split(os.environ.get("CC", "cc"))
    include = [f"-I{d}" for d in dirs]
    subprocess.run([*cc, "-std=c11", *include, "-o", binary, source], check=True)
    found = json.loads(subprocess.run([binary], check=True, capture_output=True).stdout)
    del found["constants"][""], found["lists"][""]
    return dict(found)
