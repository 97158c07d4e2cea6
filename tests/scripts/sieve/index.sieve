require ["imap4flags", "index", "date", "subaddress"];

if header :index 1 :contains "received" "example" { addflag "t0"; }
if header :index 2 :contains "received" "example" { addflag "t1"; }
if header :index 3 :contains "received" "example" { addflag "t2"; }
if header :index 1 :last :contains "received" "d.example" { addflag "t3"; }
if header :index 2 :last :contains "received" "a.example" { addflag "t4"; }
if header :index 1 :last :contains "received" "without" { addflag "t5"; }
if address :index 1 :domain "to" "example.org" { addflag "t6"; }
if address :index 1 :last :domain "to" "example.org" { addflag "t7"; }
if address :index 2 :contains ["to","cc"] "bob" { addflag "t8"; }
if date :index 1 :last :zone "+0000" "received" "hour" "16" { addflag "t9"; }
if date :index 1 :zone "+0000" "received" "day" "02" { addflag "t10"; }
if header :index 9 :contains "received" "" { addflag "t11"; }
