"""Tables of subscribers in and out: CSV, complete outputs, facts about a table, the synthetic one."""
