"""`python -m dynamo.http.openai`."""

import sys

from dynamo.http.openai.server import main

sys.exit(main())
