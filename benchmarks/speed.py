"""Time StarNet models beside the stock ones, interleaved, and report benchmarks/results/speed.{csv,md,png}.

    python benchmarks/speed.py                    # measure every part, some 40 minutes on two cores, then report
    python benchmarks/speed.py layers training    # measure only these parts
    python benchmarks/speed.py report             # write page and picture of the CSV again

Parts: recommended, scales, pair, engines, layers, swaps, training. speed_cases.py says what each measures.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

from ultralytics.utils import LOGGER

import speed_report
from speed_cases import PARTS
from speed_report import RESULTS, Record


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the parts named, or all, and report after each."""
    options = _parser().parse_args(argv)
    warnings.simplefilter("ignore")
    LOGGER.setLevel(logging.ERROR)
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = options.parts or list(PARTS)
    for part in [] if "report" in chosen else chosen:
        _measure(part, options.seconds, options.out / "speed.csv")
    records = speed_report.read(options.out / "speed.csv")
    titles = {part: (measure.__doc__ or "").splitlines()[0] for part, measure in PARTS.items()}
    (options.out / "speed.md").write_text(speed_report.page(records, titles), encoding="utf-8")
    if figure := speed_report.picture(records):
        figure.savefig(options.out / "speed.png", dpi=130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("parts", nargs="*", metavar="PART", type=_part, help=f"{', '.join(PARTS)}; all unless given")
    parser.add_argument("--seconds", type=float, default=15, help="how long each group of models is timed (15)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of CSV, page and picture")
    return parser


def _part(name: str) -> str:
    if name not in {*PARTS, "report"}:
        raise argparse.ArgumentTypeError(f"unknown part '{name}', expected one of {', '.join(PARTS)}, report")
    return name


def _measure(part: str, seconds: float, file: Path) -> None:
    """Replace the records of a part."""
    measured: list[Record] = []
    for record in PARTS[part](seconds):
        print(*record, flush=True)
        measured.append(record)
    others = [r for r in speed_report.read(file) if r.part != part]
    order = list(PARTS)
    speed_report.save(sorted([*others, *measured], key=lambda r: order.index(r.part)), file)


if __name__ == "__main__":
    main()
