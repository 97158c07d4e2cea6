require ["imap4flags", "subaddress"];

if address :user "from" "ann" { addflag "t0"; }
if address :user "from" "ann+news" { addflag "t1"; }
if address :detail "from" "news" { addflag "t2"; }
if address :detail "from" "news+more" { addflag "t3"; }
if address :detail "from" "" { addflag "t4"; }
if address :detail :matches "from" "*" { addflag "t5"; }
if address :user "from" "" { addflag "t6"; }
if address :detail "from" "detail" { addflag "t7"; }
if address :detail "from" "work" { addflag "t8"; }
if address :detail :contains ["to","cc"] "o" { addflag "t9"; }
if address :user "from" "user" { addflag "t10"; }
if address :detail "from" "+x" { addflag "t11"; }
if address :detail "from" "quoted" { addflag "t12"; }
if address :user :comparator "i;octet" "from" "ANN" { addflag "t13"; }
if address :user "from" "MAILER-DAEMON" { addflag "t14"; }
