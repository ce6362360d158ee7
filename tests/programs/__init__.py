"""What tests run in a process of its own: `python -m tests.programs.NAME`, or the file where there is no checkout."""
