"""How results are shown: HTML and Markdown pages, plots, the files of a run, and the tables that commands print."""
