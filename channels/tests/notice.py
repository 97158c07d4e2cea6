"""Reads a notice from standard input and prints what a mail program finds in it, as JSON."""

import email
import email.policy
import json
import sys


def lines(text):
    return text.replace("\r\n", "\n")


notice = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
text, status, returned = notice.iter_parts()
original = returned.get_payload(0) if returned.get_content_maintype() == "message" else None
json.dump(
    {
        "header": [[name, str(value)] for name, value in notice.items()],
        "type": notice.get_content_type() + "; " + notice.get_param("report-type"),
        "from": str(notice["From"].addresses[0]),
        "to": str(notice["To"].addresses[0]),
        "subject": notice["Subject"],
        "language": text["Content-Language"],
        "text": lines(text.get_content()),
        "fields": [
            [[name, str(value)] for name, value in block.items()]
            for block in status.get_payload()
        ],
        "returned": [
            returned.get_content_type(),
            original["Subject"] if original else lines(returned.get_content()),
            lines(original.get_content()) if original else "",
        ],
        "defects": [repr(defect) for part in notice.walk() for defect in part.defects],
        "cte": [part["Content-Transfer-Encoding"] for part in (notice, text, status, returned)],
    },
    sys.stdout,
)
