"""Drives an IMAP server with Python's imaplib and fails loudly. Arguments: port, certificate, user, password."""
import imaplib
import ssl
import sys

port, certificate, user, password = sys.argv[1:5]
context = ssl.create_default_context(cafile=certificate)
imap = imaplib.IMAP4("localhost", int(port))
imap.starttls(context)
imap.login(user, password)


def ok(answer):
    kind, data = answer
    assert kind == "OK", (kind, data)
    return data


ok(imap.create("Projects/2026"))
ok(imap.select("Projects/2026"))
first = b"Subject: one\r\nFrom: a@example.test\r\n\r\nfirst body\r\n"
second = b"Subject: two\r\nFrom: b@example.test\r\n\r\nsecond body\r\n"
ok(imap.append("Projects/2026", r"(\Seen)", imaplib.Time2Internaldate(0), first))
ok(imap.append("Projects/2026", None, None, second))
assert ok(imap.noop()) is not None
assert ok(imap.search(None, "ALL"))[0] == b"1 2"
assert ok(imap.search(None, "SEEN"))[0] == b"1"
assert ok(imap.search(None, "SUBJECT", '"two"'))[0] == b"2"
assert ok(imap.search(None, "BODY", '"first"'))[0] == b"1"
data = ok(imap.fetch("1:2", "(FLAGS BODY.PEEK[])"))
assert data[0][1] == first, data
assert data[2][1] == second, data
ok(imap.store("2", "+FLAGS", r"(\Flagged $Important)"))
assert ok(imap.uid("SEARCH", "KEYWORD", "$Important"))[0] == b"2"
ok(imap.copy("2", "Trash"))
assert "MOVE" in imap.capabilities, imap.capabilities
ok(imap.uid("MOVE", "1", "Archive"))
ok(imap.store("1", "+FLAGS", r"(\Deleted)"))
# imaplib also hands out the EXPUNGE that MOVE has sent.
assert ok(imap.expunge())[-1] == b"1"
ok(imap.close())
assert ok(imap.status("Archive", "(MESSAGES)"))[0].endswith(b"(MESSAGES 1)")
assert ok(imap.status("Trash", "(MESSAGES)"))[0].endswith(b"(MESSAGES 1)")
ok(imap.rename("Projects/2026", "Projects/2027"))
names = b" ".join(ok(imap.list()))
assert b"Projects/2027" in names and b"Projects/2026" not in names, names
ok(imap.subscribe("Projects/2027"))
assert any(b"Projects/2027" in line for line in ok(imap.lsub()))
ok(imap.delete("Projects/2027"))
kind, _ = imap.select("Projects/2027")
assert kind == "NO", kind
imap.logout()
print("imaplib: every step answered OK")
