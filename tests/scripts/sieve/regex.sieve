require ["imap4flags", "regex"];

if header :regex "subject" "^hello$" { addflag "t0"; }
if header :regex "subject" "^Hello" { addflag "t1"; }
if header :regex "subject" "[0-9]+" { addflag "t2"; }
if header :regex "subject" "#[0-9]{5}" { addflag "t3"; }
if header :regex "subject" "^.{0,3}$" { addflag "t4"; }
if header :regex "subject" "(list|order)" { addflag "t5"; }
if header :regex "subject" "ä" { addflag "t6"; }
if header :regex "subject" "^[[:upper:] !]+$" { addflag "t7"; }
if header :regex "subject" "\\*{3}" { addflag "t8"; }
if header :regex "subject" "^$" { addflag "t9"; }
if header :regex "subject" "^[^@]*$" { addflag "t10"; }
if header :regex "subject" "e{2}|l{2}" { addflag "t11"; }
if header :regex "subject" "a.*b" { addflag "t12"; }
if header :regex :comparator "i;octet" "subject" "^[A-Z ]+!*$" { addflag "t13"; }
if address :regex :domain "from" "^example\\.(org|net)$" { addflag "t14"; }
if header :regex "x-long" "^a+b+end$" { addflag "t15"; }
