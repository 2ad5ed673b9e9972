"""The command `qexp compare`."""

from __future__ import annotations

from typing import Any

import click

from qexp.cli.options import NAMES, format_option
from qexp.cli.output import console, show_json, show_lines


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("--by", metavar=NAMES, help="The parameter whose values are compared.  [default: the studies are]")
@click.option("--metric", required=True, metavar="NAME", help="The result to compare.")
@click.option("--over", metavar=NAMES, help="The parameters whose values are replicates.  [default: seed]")
@click.option("--average", metavar=NAMES, help="Parameters to average over within each replicate, such as fold.")
@click.option("--per", metavar=NAMES, help="Compare separately for each value of these parameters.")
@click.option("--baseline", metavar="VALUE", help="Compare all with this one.  [default: all pairs]")
@click.option("--test", type=click.Choice(["wilcoxon", "permutation", "ttest"]), help="[default: wilcoxon]")
@click.option("--correct", "correction", type=click.Choice(["holm", "fdr", "none"]), help="[default: holm]")
@click.option("--max/--min", "maximize", default=None, help="Larger or smaller is better.  [default: by the name]")
@click.option("--ranks", is_flag=True, help="Also rank three or more methods over all combinations.")
@click.option("--where", metavar="CONDITION", help='Only experiments with such parameters: "lr < 0.1".')
@click.option("--allow", type=click.Choice(["mixed"]), help="Compare although settings or code of a study are mixed.")
@format_option
def compare_(studies: tuple[str, ...], form: str, **options: Any) -> None:
    """
    Compare methods or studies in pairs, on one metric.

    Results are paired by all other parameters and by seed. With several combinations of other parameters, such as
    datasets, seeds are averaged and each combination is one pair: they are the units of the test.

    \b
      qexp compare lenet --by lr --metric accuracy
      qexp compare lenet resnet --metric accuracy
    """
    from qexp.client import Client
    from qexp.client.tables_and_comparisons import compare

    given = {name: value for name, value in options.items() if value or (name == "maximize" and value is not None)}
    given["metric"] = options["metric"]
    found = compare(*studies, client=Client(), **given)
    if form == "json":
        show_json(found.data())
    else:
        show_lines(found.lines(console().width))
