#!/usr/bin/env bash
# What no compiler checks:
#   - no file of code over 600 lines, nor of tests over 1,000 (one situation a file, with its actors);
#   - nothing left to do in the code: no marker of unfinished work;
#   - unsafe code only in the modules that ARCHITECTURE.md lists, and each of these has some;
#   - std's atomics named only by the shim (clippy can't tell a re-export from the original);
#   - no path of a machine; no trailing blanks.
#
#   ci/tidy.sh                  check; exits with 1 and a line per fault
#   ci/tidy.sh --list-unsafe    prints the rows of ARCHITECTURE.md's list, from the reasons in the code
set -euo pipefail
cd "$(dirname "$0")/.."

python3 - "$@" <<'PYTHON'
import pathlib, re, subprocess, sys

LINES, TEST_LINES = 600, 1000
listed = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], capture_output=True, text=True, check=True
).stdout.split("\0")
files = sorted({name for name in listed if name and pathlib.Path(name).is_file()})
sources = [name for name in files if name.endswith(".rs")]
faults = []


def text_of(name):
    return pathlib.Path(name).read_text(encoding="utf-8")


TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])'""", re.DOTALL
)


def code_of(source):
    """The lines of a source, without its comments and literals."""
    return TOKEN.sub(lambda token: "\n" * token[0].count("\n"), source).splitlines()


for name in files:
    if name.endswith((".rs", ".sh", ".py", ".md", ".toml")) or name in ("justfile", ".ci/run"):
        lines = text_of(name).splitlines()
        most = TEST_LINES if "/tests/" in name else LINES
        if not name.endswith(".md") and len(lines) > most:
            faults.append(f"{name}: {len(lines)} lines, more than {most}: a module is missing")
        for number, line in enumerate(lines, start=1):
            if re.search(r"(?<![\w/.<~-])/(?:home|root|Users|work|mnt)/", line):
                faults.append(f"{name}:{number}: path of a machine: {line.strip()}")
            if line != line.rstrip():
                faults.append(f"{name}:{number}: trailing blanks")

marker = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|\b(?:to" + r"do|unimple" + r"mented)!")
for name in sources + [name for name in files if name.endswith((".sh", ".py", ".toml"))]:
    for number, line in enumerate(text_of(name).splitlines(), start=1):
        if marker.search(line):
            faults.append(f"{name}:{number}: unfinished: {line.strip()}")

# Every module with unsafe code, by the file that lifts the lint: its own, or the one beside its folder.
UNSAFE = re.compile(r"\bunsafe\s*(?:\{|impl\b|fn\s+\w|extern\b|trait\b)")
LIFTED = r'(?:expect|allow)\(unsafe_code, reason = "([^"]*)"\)\]'


def lifted(name):
    """The reason for which a module may be unsafe: given in its file, or where a lib.rs declares it."""
    inner = re.search(r"#!\[" + LIFTED, text_of(name))
    crate, _, stem = name.rpartition("/")
    root = pathlib.Path(crate, "lib.rs")
    outer = root.is_file() and re.search(r"#\[" + LIFTED + rf"\s*(?:pub )?mod {stem[:-3]};", root.read_text())
    return (inner or outer or [None, None])[1]


def home_of(name):
    """The module that answers for a file: the outermost around it that lifts the lint, else itself."""
    parts = name.split("/")
    outer = ["/".join(parts[:end]) + ".rs" for end in range(1, len(parts))] + [name]
    return next((path for path in outer if path in sources and lifted(path)), name)


homes = {}
for name in sources:
    for number, line in enumerate(code_of(text_of(name)), start=1):
        if UNSAFE.search(line):
            homes.setdefault(home_of(name), f"{name}:{number}")
if sys.argv[1:] == ["--list-unsafe"]:
    for name in sorted(homes):
        anywhere = re.search(r"#!?\[" + LIFTED, text_of(name))
        print(f"| `{name}` | {lifted(name) or (anywhere and anywhere[1]) or 'no reason is given'} |")
    sys.exit(0)

section = text_of("ARCHITECTURE.md").partition("\n## Unsafe code\n")[2].partition("\n## ")[0]
allowed = set(re.findall(r"^\| `([^`]+\.rs)` \|", section, re.MULTILINE))
for name in sorted(homes.keys() - allowed):
    faults.append(f"{homes[name]}: unsafe code, and ARCHITECTURE.md does not list {name}")
for name in sorted(allowed - homes.keys()):
    faults.append(f"ARCHITECTURE.md: `{name}` is listed as unsafe and has no unsafe code")

shim = "crates/sync/src/shim"
for name in sources:
    if name.startswith("crates/") and not name.startswith(shim) and "/tests/" not in name:
        for number, line in enumerate(code_of(text_of(name)), start=1):
            if re.search(r"\b(?:std|core)::sync::atomic\b(?!::compiler_fence)", line):
                faults.append(f"{name}:{number}: std's atomics; take them from whitebeam_sync::shim")

for fault in faults:
    print(f"tidy: {fault}", file=sys.stderr)
print(f"tidy: {len(files)} files, {len(sources)} of Rust, {len(allowed)} unsafe modules, {len(faults)} faults")
sys.exit(1 if faults else 0)
PYTHON
