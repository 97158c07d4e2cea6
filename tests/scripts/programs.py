"""Reads what `cargo test --no-run --message-format=json` prints: the folder and the path of each test program."""

import json
import os
import sys

for line in sys.stdin:
    if not line.startswith("{"):
        continue
    message = json.loads(line)
    program = message.get("executable")
    if message["reason"] == "compiler-artifact" and program and message["profile"]["test"]:
        print(os.path.dirname(message["manifest_path"]), program)
