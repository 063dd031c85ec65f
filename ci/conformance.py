#!/usr/bin/env python3
"""Holds docs/conformance.md and the conformance tests to each other.

    ci/conformance.py         check; exits with 1 and a line per fault
    ci/conformance.py --add   writes a row for each test that no row names: the rule is the test's name, the
                              difference its doc comment if that speaks of one; to be read and mended

The table's columns are: id | rule | test | difference from OTP. Checked in both directions:

* every test a row names exists in crates/*/tests, is a test, and carries the row's id: `SUP-012` is
  tested by `fn sup_012..`; a row without a test has `-` there and says why in its last column;
* every test whose name carries an id is named by the row of that id, and by no other;
* ids are well-formed, unique and in order of area and number.

Ignored tests count as there; they are listed with their reasons, so that they are seen.

docs/semantics.md has tables whose last column is headed `test`: each of their rows names one test or several, which
exist in the sources of crates/*.

docs/options.md has such tables as well, one per crate, below `## crate`. An option is a public method that takes self
and gives it back changed. Each option of these crates has a row `Type::method`, and no row names what is not there;
kinds of an enum may have rows too, and then all of that enum have.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "conformance.md"
SEMANTICS = ROOT / "docs" / "semantics.md"
OPTIONS = ROOT / "docs" / "options.md"

# Crates whose options are listed.
CONFIGURED = ["actor", "supervisor", "testkit", "scheduler"]

# Methods that look like options and are none: arithmetic.
NO_OPTIONS = {"Time::saturating_add"}

# Areas in the order of the table.
AREAS = [
    "PROC", "LINK", "MON", "SIG", "TIM", "SRV", "SUP", "DYN", "PART", "TASK", "REG", "DREG", "PG", "DPG",
]

ID = re.compile(rf"({'|'.join(AREAS)})-(\d{{3}})")
TEST = re.compile(
    r"(?P<doc>(?:^[ \t]*///[^\n]*\n)*)"
    r"(?P<attributes>(?:^[ \t]*#\[[^\n]*\n)*)"
    rf"^[ \t]*(?:pub )?(?:async )?fn (?P<name>(?P<area>{'|'.join(a.lower() for a in AREAS)})_(?P<number>\d{{3}})(?:_\w+)?)\b",
    re.MULTILINE,
)


def tests():
    """Every conformance test: name -> (id, file, its doc comment, reason it is ignored)."""
    found, faults = {}, []
    for path in sorted(ROOT.glob("crates/*/tests/**/*.rs")):
        source = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        for match in TEST.finditer(source):
            name = match["name"]
            if name in found:
                faults.append(f"{where}: {name} is also in {found[name][1]}")
            doc = " ".join(line.strip()[3:].strip() for line in match["doc"].splitlines())
            ignored = re.search(r'#\[ignore(?:\s*=\s*"([^"]*)")?\]', match["attributes"])
            reason = (ignored[1] or "") if ignored else None
            if reason == "":
                faults.append(f"{where}: {name} is ignored without a reason")
            found[name] = (f"{match['area'].upper()}-{match['number']}", where, doc, reason)
    return found, faults


def rows():
    """Every row of the table: (line number, id, rule, tests, difference)."""
    result, faults = [], []
    for number, line in enumerate(TABLE.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells or not ID.match(cells[0]):
            if cells and re.match(r"[A-Z]+-", cells[0]):
                faults.append(f"line {number}: {cells[0]!r} is not an id")
            continue
        if len(cells) != 4:
            faults.append(f"line {number}: {len(cells)} columns, not 4")
            continue
        names = [] if cells[2] == "-" else re.findall(r"`(\w+)`", cells[2])
        if not names and cells[2] != "-":
            faults.append(f"line {number}: tests are written as `name`, or `-` for none")
        result.append((number, cells[0], cells[1], names, cells[3]))
    return result, faults


def every_test():
    """The names of all tests in the sources of crates/*, with and without an id."""
    names = set()
    for path in ROOT.glob("crates/**/*.rs"):
        source = path.read_text(encoding="utf-8")
        names.update(re.findall(r"#\[test\]\n(?:[ \t]*#\[[^\n]*\n)*[ \t]*fn (\w+)", source))
    return names


def tested(path, tests):
    """The rows of a document's tables that name tests, checked for that: ([(where, heading, cells)], faults)."""
    result, faults = [], []
    columns, heading = None, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else None
        where = f"{path.name}, line {number}"
        if cells is None:
            columns = None
            heading = line.lstrip("# ") if line.startswith("#") else heading
        elif cells[-1] == "test":
            columns = len(cells)
        elif columns and not cells[0].startswith("---"):
            result.append((where, heading, cells))
            names = re.findall(r"`(\w+)`", cells[-1])
            if len(cells) != columns:
                faults.append(f"{where}: {len(cells)} columns, not {columns}")
            if not names:
                faults.append(f"{where}: no test is named")
            faults += [f"{where}: `{name}` is no test" for name in names if name not in tests]
    return result, faults


def declared(crate):
    """What a crate has: (options, other public functions of its types, kinds of its enums), as `Type::name`."""
    options, functions, kinds = set(), set(), set()
    for path in sorted(ROOT.glob(f"crates/{crate}/src/**/*.rs")):
        source = path.read_text(encoding="utf-8")
        # An `impl` and what is in it, up to its brace: nested code is indented.
        for owner, body in re.findall(r"(?ms)^impl(?:<[^{]*?>)? (\w+)[^{]*\{\n(.*?)^\}", source):
            functions.update(f"{owner}::{name}" for name in re.findall(r"(?m)^    pub (?:const )?fn (\w+)", body))
            gives_itself = (
                r"(?m)^    pub (?:const )?fn (\w+)(?:<[^(]*>)?\(\s*(?:mut )?self\b"
                rf"[^{{;]*-> (?:Self|{owner}\b(?:<[^{{;]*>)?)\s*(?:where[^{{;]*)?\{{"
            )
            options.update(f"{owner}::{name}" for name in re.findall(gives_itself, body))
        for owner, body in re.findall(r"(?ms)^pub enum (\w+)[^{]*\{\n(.*?)^\}", source):
            kinds.update(f"{owner}::{name}" for name in re.findall(r"(?m)^    ([A-Z]\w*)", body))
    options -= NO_OPTIONS
    return options, functions - options, kinds


def options(tests):
    """Checks the tables of options: (rows, faults)."""
    table, faults = tested(OPTIONS, tests)
    for where, heading, _ in table:
        if heading not in CONFIGURED:
            faults.append(f"{where}: {heading!r} is no crate whose options are listed")
    for crate in CONFIGURED:
        required, functions, kinds = declared(crate)
        named = {}
        for where, heading, cells in table:
            if heading != crate:
                continue
            option = cells[0].strip("`")
            if option in named:
                faults.append(f"{where}: `{option}` has a row already")
            elif option not in required | functions | kinds:
                faults.append(f"{where}: {crate} has no public `{option}`")
            if not all(cells):
                faults.append(f"{where}: an empty cell")
            named[option] = where
        # One kind that is tested does not show what the others do.
        listed = {option.split("::")[0] for option in named if option in kinds}
        required |= {kind for kind in kinds if kind.split("::")[0] in listed}
        faults += [f"options.md: `{option}` of {crate} has no row" for option in sorted(required - named.keys())]
    return len(table), faults


def order(identity):
    area, number = identity.split("-")
    return AREAS.index(area), int(number)


def add(unnamed):
    """Writes the tests that no row names into the table: into the row of their id, or as a new one."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    head = max(number for number, line in enumerate(lines) if re.match(r"\| *---", line)) + 1
    end = next((n for n in range(head, len(lines)) if not lines[n].startswith("|")), len(lines))
    table = {}
    for line in lines[head:end]:
        table[line.split("|")[1].strip()] = line
    for name, (identity, _, doc, _) in unnamed.items():
        if identity in table:
            cells = re.split(r"(?<!\\)\|", table[identity])
            cells[3] = f" `{name}` " if cells[3].strip() == "-" else f"{cells[3].rstrip()}, `{name}` "
            table[identity] = "|".join(cells)
        else:
            rule = name[len(identity) + 1 :].replace("_", " ")
            difference = doc.replace("|", "\\|") if "differen" in doc.lower() else ""
            table[identity] = f"| {identity} | {rule} | `{name}` | {difference} |".replace("|  |", "| |")
    lines[head:end] = [table[identity] for identity in sorted(table, key=order)]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"conformance: {len(unnamed)} tests added; read what was written")


def main():
    found, faults = tests()
    table, more = rows()
    faults += more
    named, previous = {}, None
    for number, identity, rule, names, difference in table:
        if not ID.fullmatch(identity):
            faults.append(f"line {number}: {identity!r} is not an id")
            continue
        if previous and order(identity) <= order(previous):
            faults.append(f"line {number}: {identity} after {previous}: a double, or out of order")
        previous = identity
        if not rule:
            faults.append(f"line {number}: {identity} has no rule")
        if not names and not difference:
            faults.append(f"line {number}: {identity} has neither a test nor the reason for having none")
        for name in names:
            named[name] = identity
            if name not in found:
                faults.append(f"line {number}: {identity} names `{name}`, which is no test in crates/*/tests")
            elif found[name][0] != identity:
                faults.append(f"line {number}: {identity} names `{name}`, which is a test of {found[name][0]}")
    unnamed = {name: test for name, test in found.items() if name not in named}

    if sys.argv[1:] == ["--add"]:
        add(unnamed)
        return 0

    faults += [f"{test[1]}: {name} is named by no row of docs/conformance.md" for name, test in unnamed.items()]
    known = every_test()
    guaranteed, more = tested(SEMANTICS, known)
    faults += more
    configured, more = options(known)
    faults += more
    for fault in faults:
        print(f"conformance: {fault}", file=sys.stderr)
    for name, (_, where, _, reason) in found.items():
        if reason is not None:
            print(f"conformance: ignored: {name} ({where}): {reason}")
    counts = f"{len(table)} rows, {len(found)} tests, {len(guaranteed)} guarantees, {configured} options"
    print(f"conformance: {counts}, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
