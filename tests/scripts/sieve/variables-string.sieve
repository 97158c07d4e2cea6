require ["imap4flags", "variables"];

if string "a" "a" { addflag "t0"; }
if string :contains "abc" "B" { addflag "t1"; }
if string :is ["a","b"] ["c","b"] { addflag "t2"; }
if string :is "${x}" "" { addflag "t3"; }
if string :matches "abc" "?b*" { addflag "t4"; }
if string :comparator "i;octet" "A" "a" { addflag "t5"; }
if not string "" "" { addflag "t6"; }
