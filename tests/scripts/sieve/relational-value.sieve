require ["imap4flags", "relational", "comparator-i;ascii-numeric"];

if header :value "gt" :comparator "i;ascii-numeric" "x-spam-score" "5" { addflag "t0"; }
if header :value "ge" :comparator "i;ascii-numeric" "x-spam-score" "5" { addflag "t1"; }
if header :value "lt" :comparator "i;ascii-numeric" "x-spam-score" "5" { addflag "t2"; }
if header :value "le" :comparator "i;ascii-numeric" "x-spam-score" "5" { addflag "t3"; }
if header :value "eq" :comparator "i;ascii-numeric" "x-spam-score" "5" { addflag "t4"; }
if header :value "ne" :comparator "i;ascii-numeric" "x-spam-score" "5" { addflag "t5"; }
if header :value "gt" :comparator "i;ascii-casemap" "x-spam-score" "5" { addflag "t6"; }
if header :value "ge" :comparator "i;ascii-casemap" "x-spam-score" "5" { addflag "t7"; }
if header :value "lt" :comparator "i;ascii-casemap" "x-spam-score" "5" { addflag "t8"; }
if header :value "le" :comparator "i;ascii-casemap" "x-spam-score" "5" { addflag "t9"; }
if header :value "eq" :comparator "i;ascii-casemap" "x-spam-score" "5" { addflag "t10"; }
if header :value "ne" :comparator "i;ascii-casemap" "x-spam-score" "5" { addflag "t11"; }
if header :value "gt" :comparator "i;octet" "x-spam-score" "5" { addflag "t12"; }
if header :value "ge" :comparator "i;octet" "x-spam-score" "5" { addflag "t13"; }
if header :value "lt" :comparator "i;octet" "x-spam-score" "5" { addflag "t14"; }
if header :value "le" :comparator "i;octet" "x-spam-score" "5" { addflag "t15"; }
if header :value "eq" :comparator "i;octet" "x-spam-score" "5" { addflag "t16"; }
if header :value "ne" :comparator "i;octet" "x-spam-score" "5" { addflag "t17"; }
if header :value "gt" :comparator "i;ascii-numeric" "x-spam-score" "4294967295" { addflag "t18"; }
if header :value "eq" :comparator "i;ascii-numeric" "x-spam-score" "none" { addflag "t19"; }
if header :is :comparator "i;ascii-numeric" "x-spam-score" "0005" { addflag "t20"; }
if header :value "lt" "subject" "m" { addflag "t21"; }
if header :value "ge" "subject" "K" { addflag "t22"; }
