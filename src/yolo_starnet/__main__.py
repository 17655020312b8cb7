"""`python -m yolo_starnet` is `yolo-starnet`."""

import sys


def main() -> int:
    """Run a command line of `yolo` in this process; `doctor` also where Ultralytics cannot be imported."""
    try:
        from .cli import main
    except Exception:
        if sys.argv[1:2] != ["doctor"]:
            raise
        from .commands import doctor

        return doctor.doctor(as_json="--json" in sys.argv)
    return main()


if __name__ == "__main__":  # a pickle may name this module, which then is imported
    sys.exit(main())
