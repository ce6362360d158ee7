"""The only modules that know private parts of uvicorn, circus, click and BentoML; each checks them at start-up."""
