"""Whole files at the speed at which their text can be read: blocks of rows in, the same rows with answers out.

`LineScorer` scores a block of lines and `ArrowScorer` a record batch; both are functions of their argument alone, so
that threads, or another engine, can call them. `files.score_file` scores a file with them.
"""

import os

# Arrow reads it when it is imported. Its own allocators keep what each of several threads has used: with the system's,
# a file takes a fifth to a third less memory, and no more time.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
