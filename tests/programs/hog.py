"""Takes 600 MB of memory, a part at a time. Its text is run inside a container, which has no checkout."""

import time

kept = []
for _ in range(60):
    kept.append(bytearray(b"x") * 10_000_000)
    time.sleep(0.02)
time.sleep(1)
