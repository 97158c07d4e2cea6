"""A filter that does as addresses and headers tell it, and writes down what it is told.

Arguments: the socket, the file for the events, and modes:
  symlist   asks for macros of its own at each stage
  leadspc   keeps the blank behind the colon of headers
  deaf      is not told of connections
  noreply   answers neither headers nor pieces of the body
  skip      wants no further piece of the body after the first
  rcptrej   wants to hear of recipients that were refused
  noconnect refuses each client
A local part such as `mail-reject` or `rcpt-tempfail` is answered so; a header `X-Do: VERB ARGUMENT` is
done at the end of the message, and `X-At: eoh-reject` at another step.
"""

import json
import os
import sys
import threading
import time

import Milter

SOCKET, EVENTS, *MODES = sys.argv[1:]
LOCK = threading.Lock()
ANSWERS = {
    "accept": Milter.ACCEPT,
    "reject": Milter.REJECT,
    "tempfail": Milter.TEMPFAIL,
    "discard": Milter.DISCARD,
}
MACROS = [
    "j", "i", "v", "_", "{daemon_name}", "{daemon_addr}", "{client_addr}", "{client_name}",
    "{tls_version}", "{cipher}", "{auth_authen}", "{auth_type}", "{mail_addr}", "{rcpt_addr}",
    "{rcpt_host}", "{rcpt_mailer}", "{own}", "{client_ptr}", "{client_resolve}",
]


def wanted(stage, text):
    """The verb behind `stage-` in an address."""
    local = text.strip("<>").split("@")[0]
    return local[len(stage) + 1:] if local.startswith(stage + "-") else ""


class Filter(Milter.Base):
    def note(self, event, *what):
        macros = {name: self.getsymval(name) for name in MACROS}
        macros = {name: value for name, value in macros.items() if value is not None}
        line = json.dumps({"event": event, "what": what, "macros": macros})
        with LOCK, open(EVENTS, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(line + "\n")

    def answer(self, verb):
        if verb.startswith("code"):
            self.setreply("550", "5.7.9", "the filter says 100%% no")
            return Milter.REJECT
        if verb.startswith("lines"):
            self.setreply("450", "4.7.9", "one", "two", "three")
            return Milter.TEMPFAIL
        if verb == "sleep":
            time.sleep(5)
        return ANSWERS.get(verb, Milter.CONTINUE)

    def negotiate(self, opts):
        with LOCK, open(EVENTS, "a", encoding="utf-8") as file:
            file.write('{"event": "negotiate"}\n')
        if "symlist" in MODES:
            # The method of the class hands on octets, which the one below it does not take (1.0.5).
            self._ctx.setsymlist(Milter.M_CONNECT, "j {own}")
            self._ctx.setsymlist(Milter.M_ENVRCPT, "{rcpt_addr} i")
        return Milter.Base.negotiate(self, opts)

    def connect(self, host, family, address):
        self.orders, self.steps, self.octets, self.pieces = [], [], 0, 0
        self.note("connect", host, str(family), list(address or []))
        return Milter.REJECT if "noconnect" in MODES else Milter.CONTINUE

    def hello(self, name):
        self.note("helo", name)
        return self.answer(wanted("helo", name.replace(".", "@")))

    def envfrom(self, sender, *arguments):
        self.orders, self.steps, self.octets, self.pieces = [], [], 0, 0
        self.note("mail", sender, list(arguments))
        return self.answer(wanted("mail", sender))

    def envrcpt(self, recipient, *arguments):
        self.note("rcpt", recipient, list(arguments))
        return self.answer(wanted("rcpt", recipient))

    def data(self):
        self.note("data")
        return Milter.CONTINUE

    def header(self, name, value):
        self.note("header", name, value)
        if name == "X-Do":
            self.orders.append(value.strip())
        if name == "X-At":
            self.steps.append(value.strip())
        return self.step("header")

    def step(self, stage):
        verbs = [step[len(stage) + 1:] for step in self.steps if step.startswith(stage + "-")]
        return self.answer(verbs[0]) if verbs else Milter.CONTINUE

    def eoh(self):
        self.note("eoh")
        return self.step("eoh")

    def body(self, piece):
        self.octets += len(piece)
        self.pieces += 1
        return Milter.SKIP if "skip" in MODES else self.step("body")

    def eom(self):
        self.note("eom", self.octets, self.pieces)
        for order in self.orders:
            verb, _, rest = order.partition(" ")
            answer = self.do(verb, rest)
            if answer is not None:
                return answer
        return Milter.CONTINUE

    def do(self, verb, rest):
        words = rest.split(" ")
        if verb == "addheader":
            self.addheader(words[0], self.text(words[1:]))
        elif verb == "insheader":
            self.addheader(words[1], self.text(words[2:]), int(words[0]))
        elif verb == "chgheader":
            self.chgheader(words[1], int(words[0]), self.text(words[2:]))
        elif verb == "addrcpt":
            self.addrcpt(words[0], *([" ".join(words[1:])] if words[1:] else []))
        elif verb == "delrcpt":
            self.delrcpt(words[0])
        elif verb == "chgfrom":
            self.chgfrom(words[0], *([" ".join(words[1:])] if words[1:] else []))
        elif verb == "body":
            self.replacebody(self.text(words).encode())
        elif verb == "bigbody":
            for n in range(int(rest)):
                self.replacebody(b"%07d\r\n" % n * 7_281)
        elif verb == "quarantine":
            self.quarantine(rest)
        elif verb == "progress":
            count, _, seconds = rest.partition(" ")
            for _ in range(int(count)):
                time.sleep(float(seconds or 1))
                self.progress()
        elif verb == "die":
            os._exit(1)
        else:
            return self.answer(verb)
        return None

    @staticmethod
    def text(words):
        return " ".join(words).replace("\\n", "\n").replace("\\r", "\r")

    def abort(self):
        self.note("abort")
        return Milter.CONTINUE

    def close(self):
        self.note("close")
        return Milter.CONTINUE


if "deaf" in MODES:
    Filter.connect = Milter.nocallback(Filter.connect)
if "noreply" in MODES:
    Filter.header = Milter.noreply(Filter.header)
    Filter.body = Milter.noreply(Filter.body)
if "leadspc" in MODES:
    Filter = Milter.header_leading_space(Filter)
if "rcptrej" in MODES:
    Filter = Milter.rejected_recipients(Filter)
# Servers run as users of their own.
os.umask(0)
Milter.factory = Filter
Milter.set_flags(
    Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT
    | Milter.CHGFROM | Milter.QUARANTINE | Milter.ADDRCPT_PAR | Milter.SETSYMLIST
)
Milter.runmilter("filter", SOCKET, 0)
