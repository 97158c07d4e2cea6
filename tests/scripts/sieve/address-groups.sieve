require ["imap4flags"];

if address :all :is ["to","cc","from"] "ann@example.org" { addflag "t0"; }
if address "to" ["bob@example.net","carol@sub.example.org"] { addflag "t1"; }
if address :contains "to" "undisclosed" { addflag "t2"; }
if address :contains "to" "friends" { addflag "t3"; }
if address :comparator "i;octet" "from" "ann@example.org" { addflag "t4"; }
if address :comparator "i;octet" :domain "from" "Example.ORG" { addflag "t5"; }
if address :localpart :comparator "i;octet" "from" "ANN" { addflag "t6"; }
if address ["sender","reply-to"] "ann@example.org" { addflag "t7"; }
