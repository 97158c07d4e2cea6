"""What Python's email package reads in headers.

Without a word: prints Python's own test messages as JSON, a list of texts in Latin-1, in which the fields
that were encoded are raw UTF-8, and others got some.
With the word "differ": takes a list of pairs of such texts, before and after, as JSON; prints the
fields that say something else afterwards.
"""

import email
import email.header
import email.policy
import email.utils
import glob
import json
import re
import sys

ADDRESSES = {"from", "to", "cc", "sender", "reply-to"}


def decoded(value):
    """The text of encoded words and of what stands between them."""
    try:
        parts = email.header.decode_header(value)
    except email.errors.HeaderParseError:
        return value
    text = ""
    for part, charset in parts:
        if isinstance(part, str):
            text += part
        elif charset is None:
            # The package escapes characters in text that has encoded words, too.
            text += part.decode("raw-unicode-escape")
        elif charset == "unknown-8bit":
            text += part.decode("utf-8", "surrogateescape")
        else:
            try:
                text += part.decode(charset)
            except (LookupError, UnicodeDecodeError):
                return value
    return text


def fields(message):
    """Names and unfolded values as they stand there."""
    header = re.split(rb"\r\n[ \t]*\r\n", message, maxsplit=1)[0]
    header = re.sub(rb"\r\n(?=[ \t])", b"", header)
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        yield name.decode("latin-1"), value.decode("utf-8", "surrogateescape")


def plain(text):
    return " ".join(text.split())


def said(name, value):
    """The meaning of a field, by its kind."""
    if name.lower() in ADDRESSES:
        pairs = email.utils.getaddresses([value])
        return [[plain(decoded(display)), address] for display, address in pairs]
    if name.lower() == "content-disposition":
        parsed = email.message_from_string(f"{name}:{value}\n\n", policy=email.policy.default)
        return parsed.get_filename()
    return plain(decoded(value))


def raw(path):
    with open(path, "rb") as file:
        lines = file.read().splitlines()
    header = lines[: lines.index(b"")] if b"" in lines else lines
    out = []
    for line in header:
        text = line.decode("utf-8", "surrogateescape")
        name, colon, value = text.partition(":")
        if colon and name.lower() in ("subject", "x-mailer", "organization", "comments"):
            value = decoded(value) + " Grüße €"
        elif colon and name.lower() in ADDRESSES and "<" in value:
            def named(found):
                return ' "Jörg, ' + decoded(found[1]).replace('"', "") + '" <'

            value = re.sub(r"^ *(.*?) *<", named, value, count=1)
        out.append((name + colon + value).encode("utf-8", "surrogateescape"))
    out.append("Content-Disposition: attachment; filename=\"Grüße €.txt\"".encode())
    return b"\r\n".join(out + lines[len(header) :] + [b""])


def main():
    if sys.argv[1:] != ["differ"]:
        paths = sorted(glob.glob("/usr/lib/python3.11/test/test_email/data/msg_*.txt"))
        print(json.dumps([raw(path).decode("latin-1") for path in paths]))
        return
    differ = []
    for pair in json.load(sys.stdin):
        before, after = (text.encode("latin-1") for text in pair)
        for (name, old), (new_name, new) in zip(fields(before), fields(after), strict=True):
            if old == new and name == new_name:
                continue
            if name.lower() == "content-disposition":
                meant = old.split('"')[1]
            else:
                meant = said(name, old)
            if name != new_name or meant != said(name, new):
                differ.append([name, old, new_name, new])
    print(json.dumps(differ))


main()
