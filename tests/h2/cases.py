"""The register of cases: each a function of a fresh connection's maker, named by the section it proves."""
CASES = []


class Case:
    def __init__(self, section, title, run, h2spec, door_only, clear_only, alone):
        self.name = f"{section} {title}"
        self.run, self.h2spec, self.door_only, self.clear_only, self.alone = run, h2spec, door_only, clear_only, alone


def case(section, title, *h2spec, door_only=False, clear_only=False, alone=False):
    """`section`: "9113 5.1" or "7541 2.3.3". `h2spec`: the identifiers of that suite that it covers.
    `alone`: floods, which would slow the others' answers down, run one after another at the end."""
    def add(run):
        CASES.append(Case(section, title, run, h2spec, door_only, clear_only, alone))
        return run
    return add


def table(section, title, rows, *h2spec, **named):
    """One case a row: rows are {text: argument} and the function takes (open, argument)."""
    def add(run):
        for text, argument in rows.items():
            covers = h2spec
            if isinstance(text, tuple):
                text, *covers = text
            case(section, f"{title}: {text}", *covers, **named)(lambda open, a=argument: run(open, a))
        return run
    return add
