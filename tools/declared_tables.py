"""Tables of declared rows in the docs: ``make docs``.

Writes  the part of ``docs/cache.md`` between ``<!-- schema -->`` and ``<!-- /schema -->``, and of
        ``docs/method.md`` between ``<!-- measures -->`` and ``<!-- /measures -->``, and likewise
        ``kinds``, ``statistics``, ``prompts``, ``views`` and ``tables``, and of ``docs/api.md``
        ``reading`` and ``predicting``.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import usam_cache
from pipeline.heads.kinds import HEAD_KINDS, KINDS, PAPER, Boosting, HeadKind, OneCycle
from pipeline.prompt_kinds import EXTRA_PROMPTS, PROMPT_KINDS, calls_of
from pipeline.scoring.measures import MEASURES
from pipeline.views import VIEW_KINDS, Parameter
from stages.tables.statistics import GROUPS, KEYS
from storage.outputs.csv_forms import SPLIT_TABLES, Table
from storage.store.schema import SCHEMA
from tools.blocks import replace_block, table

PLOTTED: Final = ("curves", "reliability")
"""Tables of results with the points of curves; their columns need no explanation."""

OTHER_KINDS: Final = tuple(name for name in KINDS if name != PAPER)


def arrays() -> str:
    """All arrays, one table per kind of store."""
    headings = ("array", "dimensions", "dtype", "unit", "meaning")
    blocks = []
    for kind, specs in SCHEMA.items():
        rows = [
            (f"`{name}`", ", ".join(s.dims), s.dtype, s.unit, s.meaning)
            for name, s in specs.items()
        ]
        blocks.append(f"### `{kind}`\n\n{_of_words(headings, rows)}")
    return "\n".join(blocks)


def head_kinds() -> str:
    """All kinds of heads."""
    return _of_words(
        ("kind", "is", "reads", "hidden layers", "training"),
        [
            (f"`{kind.name}`", kind.meaning, _inputs(kind), _layers(kind), _plan(kind.plan))
            for kind in HEAD_KINDS
        ],
    )


def measures() -> str:
    """All measures, without heads of other kinds: their names are the paper's with an ending."""
    rows = [
        (m.symbol, f"`{m.name}`", m.meaning, ", ".join(m.tasks) or "-")
        for m in MEASURES
        if m.heads not in OTHER_KINDS
    ]
    header = ("measure", "name", "what it is", "tables of")
    return _of_words(header, rows).replace("*", r"\*")


def statistics() -> str:
    """All statistics, then the keys of each group."""
    rows = [
        (row.symbol, f"`{row.name}`", group, row.better or "-", row.meaning)
        for group, declared in GROUPS.items()
        for row in declared
    ]
    keys = {group: ", ".join(f"`{key}`" for key in of_group) for group, of_group in KEYS.items()}
    words = _of_words(("statistic", "name", "group", "good", "what it is"), rows)
    return f"{words}\n{_listed('Keys of each group:', keys)}"


def prompts() -> str:
    """All prompt sets, a row for each kind of decoder call."""
    rows = []
    for kinds in calls_of([kind.name for kind in PROMPT_KINDS]):
        names = ", ".join(f"`{kind.name}`" for kind in kinds)
        name = kinds[0].asked_as
        use = "by `extra_prompts`, `train_prompts`" if name in EXTRA_PROMPTS else "always"
        use += f", as `{name}`" if name in EXTRA_PROMPTS and len(kinds) > 1 else ""
        rows.append((names, kinds[0].meaning, use))
    return _of_words(("prompt sets", "what is given", "asked for"), rows)


def views() -> str:
    """All kinds of views."""
    rows = []
    for kind in VIEW_KINDS:
        parameters = "; ".join(_parameter(*item) for item in kind.parameters.items())
        enters = "yes" if kind.is_averaged else ""
        rows.append((f"`{kind.pattern}`", kind.meaning, parameters, enters))
    return _of_words(("view", "is", "parameters", "T"), rows)


def result_tables() -> str:
    """Columns that several tables share, then the other columns of every table."""
    shown = {name: declared for name, declared in SPLIT_TABLES.items() if name not in PLOTTED}
    counts = Counter(
        (column.name, column.meaning) for declared in shown.values() for column in declared.declared
    )
    shared: dict[str, str] = {}
    for (name, meaning), n in counts.most_common():
        if n > 1:
            shared.setdefault(name, meaning)
    tables = [_columns(name, declared, shared) for name, declared in shown.items()]
    lead = "Columns of several tables:"
    shared_columns = _listed(lead, {f"`{name}`": meaning for name, meaning in shared.items()})
    return "\n".join([shared_columns, *tables])


def public_names(names: Iterable[str]) -> str:
    """Names of ``usam_cache``, with the names of their arguments."""
    rows = []
    for name in names:
        function = getattr(usam_cache, name)
        arguments = ", ".join(inspect.signature(function).parameters)
        summary = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
        summary = summary.partition("; see")[0].rstrip(".").replace("``", "`")
        rows.append((f"`{name}({arguments})`", summary))
    return _of_words(("name", "is"), rows)


DECLARED: Final[Mapping[tuple[Path, str], Callable[[], str]]] = {
    (Path("docs", "cache.md"), "schema"): arrays,
    (Path("docs", "method.md"), "kinds"): head_kinds,
    (Path("docs", "method.md"), "measures"): measures,
    (Path("docs", "method.md"), "statistics"): statistics,
    (Path("docs", "method.md"), "prompts"): prompts,
    (Path("docs", "method.md"), "views"): views,
    (Path("docs", "method.md"), "tables"): result_tables,
    (Path("docs", "api.md"), "reading"): partial(public_names, usam_cache.READING),
    (Path("docs", "api.md"), "predicting"): partial(public_names, usam_cache.PREDICTING),
}
"""Tables by page and name of their block."""


def main() -> None:
    """Rewrite the tables."""
    for (page, name), markdown in DECLARED.items():
        replace_block(page, name, f"\n{markdown()}")


def _of_words(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return table(header, rows, left=range(len(header))) + "\n"


def _listed(lead: str, meanings: Mapping[str, str]) -> str:
    return f"{lead}\n\n" + "".join(f"- {name}: {meaning}\n" for name, meaning in meanings.items())


def _inputs(kind: HeadKind) -> str:
    *others, last = kind.inputs
    inputs = f"{', '.join(others)} and {last}" if others else last
    return f"{inputs}, standardised" if kind.is_standardised else inputs


def _layers(kind: HeadKind) -> str:
    networks = f", in each of {kind.n_members} networks" if kind.n_members > 1 else ""
    return f"2 of {kind.hidden}{networks}"


def _plan(plan: OneCycle | Boosting | None) -> str:
    assert not isinstance(plan, Boosting)  # an ablation has it, no kind
    if plan is None:
        return "SGD with momentum, hyperparameters by `tune`"
    return (
        f"AdamW with one cycle of the learning rate up to {plan.learning_rate:g}, weight decay "
        f"{plan.weight_decay:g}, {plan.epochs} epochs, batches of {plan.batch_size}"
    )


def _parameter(name: str, parameter: Parameter) -> str:
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    default = "" if parameter.default is None else f", by default {parameter.default}"
    return f"`{name}`, {parameter.meaning}: {parameter.rule}{unit}{default}"


def _columns(name: str, declared: Table, shared: Mapping[str, str]) -> str:
    rows = {
        f"`{column.name}`": column.meaning
        for column in declared.declared
        if shared.get(column.name) != column.meaning
    }
    further = {"more": declared.more} if declared.more else {}
    lead = f"`{name}.csv`: {declared.meaning}"
    return _listed(lead, rows | further)


if __name__ == "__main__":
    main()
