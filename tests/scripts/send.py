"""Sends messages with smtplib, as any Python program would.

    send.py PORT < lines of: SENDER <tab> RECIPIENT[,RECIPIENT...] <tab> FILE

One connection for all. Prints a line for each message that was refused, and exits 1 if any was.
"""

import re
import smtplib
import sys


def content(path):
    """The file as smtplib would send it if it were text: every line end a CRLF."""
    with open(path, "rb") as file:
        return re.sub(rb"\r\n|\n|\r(?!\n)", b"\r\n", file.read())


def main():
    refused = 0
    with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=60) as server:
        for line in sys.stdin:
            sender, recipients, path = line.rstrip("\n").split("\t")
            body = content(path)
            options = ["BODY=8BITMIME"] if max(body, default=0) > 127 else []
            try:
                server.sendmail(sender, recipients.split(","), body, mail_options=options)
            except smtplib.SMTPException as error:
                refused += 1
                print(f"{path}: {recipients}: {error}", flush=True)
    sys.exit(1 if refused else 0)


main()
