require ["fileinto", "relational", "comparator-i;ascii-numeric", "imap4flags", "regex"];
if anyof (header :is "x-spam-flag" "yes", header :matches "x-spam-level" "\\*\\*\\*\\*\\**",
          header :value "ge" :comparator "i;ascii-numeric" "x-spam-score" "7") {
    setflag "\\Seen";
    fileinto "Junk";
    stop;
}
if not header :contains ["to", "cc", "bcc"] ["ann@example.org", "joerg"] { fileinto "Not to me"; }
