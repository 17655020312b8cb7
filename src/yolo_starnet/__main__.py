"""`python -m yolo_starnet` is `yolo-starnet`."""

import sys

from .cli import main

if __name__ == "__main__":  # a pickle may name this module, which then is imported
    sys.exit(main())
