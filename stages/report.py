"""Stage ``report``: results of all eval splits in, tables, metrics and a page out.

Reads   ``params.yaml:report``, ``results/splits/<split>`` and ``results/gallery/<split>`` of every
        eval split, ``heads/<train split>/tuning/<objective>.csv``, ``results/runtime.csv``.
Writes  ``results/metrics.json``, ``results/tables/**/*.csv``, ``results/report.html``.
"""

from collections.abc import Mapping
from pathlib import Path

from stages.program.main import check_unchanged, stage_main
from stages.settings.params import read_params
from stages.tables.catalogue import Tables, columns_of_objects, number_formats, report_tables
from stages.tables.report_table import Inputs, evaluated_models
from stages.tables.special_tables import metrics
from storage.folders import whole_folder, write_json, write_text
from storage.outputs.results import (
    read_all_trials,
    read_gallery,
    read_results,
    read_runtime,
)
from storage.outputs.tables import write_csv
from storage.paths import PAGE, RESULTS, RUNTIME_PATH, gallery_dir, results_dir


@stage_main
def main() -> None:
    """Write the tables, metrics and page about the results of all eval splits."""
    params = read_params()
    results = {
        split: read_results(results_dir(split), of_objects=columns_of_objects())
        for split in params.eval_splits
    }
    galleries = {split: read_gallery(gallery_dir(split)) for split in results}
    models = evaluated_models(results)
    inputs = Inputs(
        results,
        {split: gallery.table for split, gallery in galleries.items()},
        read_all_trials(params.train_splits, models),
        read_runtime(RUNTIME_PATH, models),
        params.report.paper,
    )
    # Imported here: results that do not fit together are refused before matplotlib is imported.
    from stages.page.render import Contents, last_commit, render_report  # noqa: PLC0415

    contents = Contents(
        title=params.report.title,
        results=results,
        tables=report_tables(inputs),
        galleries=galleries,
        data_sets=params.report.paper,
        chosen_on=params.report.chosen_on,
        commit=last_commit(Path()),
    )
    # No file is written before all are ready: a run that fails leaves the last report in place.
    page, numbers = render_report(contents), metrics(results)
    formats = number_formats(results)
    check_unchanged()
    write_json(RESULTS / "metrics.json", numbers)
    _write_tables(contents.tables, formats)
    write_text(PAGE, page)
    print(f"Page: {PAGE}", f"Tables: {RESULTS / 'tables'}", sep="\n")


def _write_tables(tables: Tables, formats: Mapping[str, str]) -> None:
    with whole_folder(RESULTS / "tables") as folder:
        for name, table in tables.items():
            path = folder / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_csv(path, table, formats[name])


if __name__ == "__main__":
    main()
