"""`python -m dynamo.http.openai`."""

import sys

from dynamo.http.openai.standalone import main

sys.exit(main())
