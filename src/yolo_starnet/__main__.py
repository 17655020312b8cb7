"""`python -m yolo_starnet` is `yolo-starnet`."""

import sys

from .cli import main

sys.exit(main())
