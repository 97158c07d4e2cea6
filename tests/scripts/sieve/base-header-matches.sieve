require ["imap4flags"];

if header :matches "subject" "*" { addflag "t0"; }
if header :matches "subject" "?*" { addflag "t1"; }
if header :matches "subject" "hel?o" { addflag "t2"; }
if header :matches "subject" "[*] *" { addflag "t3"; }
if header :matches "subject" "*#?????]*" { addflag "t4"; }
if header :matches "subject" "*\\**" { addflag "t5"; }
if header :matches "subject" "*\\?*" { addflag "t6"; }
if header :matches "subject" "*\\\\*" { addflag "t7"; }
if header :matches "subject" "K?se*" { addflag "t8"; }
if header :matches "subject" "K??se*" { addflag "t9"; }
if header :matches "subject" "*ä*" { addflag "t10"; }
if header :matches "subject" "" { addflag "t11"; }
if header :matches "subject" "*o*o*" { addflag "t12"; }
if header :matches "subject" "* * * *" { addflag "t13"; }
if header :matches :comparator "i;octet" "subject" "K??se*" { addflag "t14"; }
if header :matches :comparator "i;octet" "subject" "K?se*" { addflag "t15"; }
if header :matches "x-long" "*a*a*a*a*a*b*b*b*b*end" { addflag "t16"; }
if header :matches "x-long" "*a*a*a*a*a*b*b*b*b*end?" { addflag "t17"; }
if header :matches "received" "*;*" { addflag "t18"; }
if header :matches "from" "*<*@*>*" { addflag "t19"; }
if header :matches "x-path" "\\*" { addflag "t20"; }
if header :matches "x-path" "?" { addflag "t21"; }
if header :matches "subject" "*?*?*?*?*?*?*" { addflag "t22"; }
