"""What people look at after a run: pages, plots, artifacts, the tables on the terminal."""
