require ["imap4flags"];

if header :is "subject" "hello" { addflag "t0"; }
if header :is "subject" "HELLO world" { addflag "t1"; }
if header :is :comparator "i;octet" "subject" "hello" { addflag "t2"; }
if header :is :comparator "i;octet" "subject" "Hello World" { addflag "t3"; }
if header "subject" "Käse" { addflag "t4"; }
if header "subject" "Über alle" { addflag "t5"; }
if header "subject" "onetwo" { addflag "t6"; }
if header "subject" "one two" { addflag "t7"; }
if header "subject" "mixed grüße words" { addflag "t8"; }
if header "subject" "grüße" { addflag "t9"; }
if header "subject" "€ 5" { addflag "t10"; }
if header "subject" "folded subject of three lines" { addflag "t11"; }
if header "subject" "trailing blanks" { addflag "t12"; }
if header "subject" "=?x-unknown?Q?hello?=" { addflag "t13"; }
if header "subject" "=?utf-8?Q?broken" { addflag "t14"; }
if header "subject" "Hello" { addflag "t15"; }
if header "subject" "aglued b" { addflag "t16"; }
if header "subject" "a=?utf-8?Q?glued?=b" { addflag "t17"; }
if header "subject" "Käse unencoded" { addflag "t18"; }
if header "subject" "tabs	and  two  blanks" { addflag "t19"; }
if header "x-blank" "" { addflag "t20"; }
if header "x-empty" "" { addflag "t21"; }
if header "x-space" "before the colon" { addflag "t22"; }
if header "x-folded" "a b c d" { addflag "t23"; }
if header "x-folded" "a b	c  d" { addflag "t24"; }
if header "subject" "Привет" { addflag "t25"; }
if header "subject" "приве" { addflag "t26"; }
if header "x-spam-flag" "yes" { addflag "t27"; }
if header ["to","cc"] "ann@example.org" { addflag "t28"; }
if header "keywords" ["café","CAFÉ"] { addflag "t29"; }
