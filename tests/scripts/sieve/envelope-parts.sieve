require ["envelope", "imap4flags", "subaddress"];
if envelope "from" "sender@example.org" { addflag "a"; }
if envelope :localpart "from" "sender+x" { addflag "b"; }
if envelope :domain "to" "example.org" { addflag "c"; }
if envelope :all :contains "to" "me" { addflag "d"; }
if envelope :user "to" "me" { addflag "e"; }
if envelope :detail "to" "box" { addflag "f"; }
if envelope :detail :matches "to" "*" { addflag "g"; }
if envelope "from" "" { addflag "h"; }
if envelope :comparator "i;octet" "to" "ME+box@example.org" { addflag "i"; }
if envelope ["to", "from"] ["none", "sender@example.org"] { addflag "j"; }
if envelope :matches "from" "*@*" { addflag "k"; }
