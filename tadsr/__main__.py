"""`python -m tadsr` is `tadsr`."""

import sys

from tadsr.cli import main

sys.exit(main())
