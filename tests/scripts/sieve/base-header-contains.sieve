require ["imap4flags"];

if header :contains "subject" "list" { addflag "t0"; }
if header :contains "subject" "LIST" { addflag "t1"; }
if header :contains :comparator "i;octet" "subject" "MONEY" { addflag "t2"; }
if header :contains "subject" "subject of" { addflag "t3"; }
if header :contains "from" "Jörg" { addflag "t4"; }
if header :contains "from" "JÖRG" { addflag "t5"; }
if header :contains "from" "Müller" { addflag "t6"; }
if header :contains "from" "=?" { addflag "t7"; }
if header :contains "subject" "=?" { addflag "t8"; }
if header :contains "received" "example" { addflag "t9"; }
if header :contains "received" "Wed" { addflag "t10"; }
if header :contains "x-long" "bend" { addflag "t11"; }
if header :contains "x-long" "ab" { addflag "t12"; }
if header :contains "subject" "?" { addflag "t13"; }
if header :contains "subject" "  " { addflag "t14"; }
if header :contains "to" "," { addflag "t15"; }
if header :contains "subject" "$" { addflag "t16"; }
if header :contains "x-path" "\\" { addflag "t17"; }
if header :contains "message-id" "@" { addflag "t18"; }
if header :contains "subject" "gr" { addflag "t19"; }
