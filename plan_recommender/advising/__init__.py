"""Whole tables of months at the speed at which they can be read: months in, in any order, a line a subscriber out.

The months are read block by block into runs, each sorted by subscriber, in a temporary folder (`reading`, `runs`).
Then range after range of the subscribers is gathered from all runs and advised (`answers`). Both happen in processes
of their own (`workers`), so that memory does not grow with the table. `files.advise_files` puts it together.
"""

import plan_recommender.scoring  # noqa: F401  # it chooses Arrow's allocator, before Arrow is imported
