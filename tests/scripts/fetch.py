"""Reads a whole INBOX over IMAP.

    fetch.py PORT USER FOLDER

Writes each message to FOLDER/1, FOLDER/2, ... and prints how many there are.
"""

import imaplib
import os
import sys

port, user, folder = sys.argv[1:]
with imaplib.IMAP4("127.0.0.1", int(port)) as server:
    server.login(user, "any")
    status, (count,) = server.select("INBOX", readonly=True)
    assert status == "OK", count
    os.makedirs(folder)
    if int(count) > 0:
        status, answers = server.fetch("1:*", "(RFC822.SIZE BODY.PEEK[])")
        assert status == "OK", answers
        messages = [answer[1] for answer in answers if isinstance(answer, tuple)]
        assert len(messages) == int(count), (len(messages), count)
        for number, message in enumerate(messages, 1):
            with open(os.path.join(folder, str(number)), "wb") as file:
                file.write(message)
    print(int(count))
