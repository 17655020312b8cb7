"""Try timm's models as backbones of YOLO11n and YOLO26n and write docs/timm.md.

    python benchmarks/timm_models.py               # try every model without a result, then write the page
    python benchmarks/timm_models.py lcnet_050     # try these models, again
    python benchmarks/timm_models.py --write       # only write the page

A model takes 5 to 30 seconds. Results are kept in build/timm.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from ultralytics.utils import LOGGER

from timm_cases import MODELS
from timm_report import page
from timm_trial import measure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "timm"


def main(argv: Sequence[str] | None = None) -> None:
    """Try the models that the command line selects and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a model of timm_cases.py")
    parser.add_argument("--write", action="store_true", help="only write the page")
    options = parser.parse_args(argv)
    for model in options.models:
        if model not in MODELS:
            parser.error(f"'{model}' is not in timm_cases.py; add it there to try it")
    if not options.write:
        _try(options.models or [m for m in MODELS if not _file(m).exists()])
    results = [json.loads(_file(m).read_text()) for m in MODELS if _file(m).exists()]
    (ROOT / "docs" / "timm.md").write_text(page(results), encoding="utf-8")


def _try(models: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    LOGGER.setLevel("ERROR")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for model in models:
        result = measure(model)
        _file(model).write_text(json.dumps(result, indent=1))
        print(model, result.get("refused") or result["families"], flush=True)


def _file(model: str) -> Path:
    return RESULTS / f"{model.replace(':', '-')}.json"


if __name__ == "__main__":
    main()
