require ["imap4flags", "relational", "comparator-i;ascii-numeric"];

if header :count "eq" :comparator "i;ascii-numeric" "received" "0" { addflag "t0"; }
if header :count "ge" :comparator "i;ascii-numeric" "received" "1" { addflag "t1"; }
if header :count "gt" :comparator "i;ascii-numeric" "received" "1" { addflag "t2"; }
if header :count "lt" :comparator "i;ascii-numeric" ["to","cc"] "2" { addflag "t3"; }
if header :count "ne" :comparator "i;ascii-numeric" "subject" "1" { addflag "t4"; }
if header :count "eq" :comparator "i;ascii-numeric" "x-spam-level" "1" { addflag "t5"; }
if address :count "eq" :comparator "i;ascii-numeric" "to" "0" { addflag "t6"; }
if address :count "eq" :comparator "i;ascii-numeric" "to" "1" { addflag "t7"; }
if address :count "ge" :comparator "i;ascii-numeric" "to" "2" { addflag "t8"; }
if address :count "gt" :comparator "i;ascii-numeric" "to" "2" { addflag "t9"; }
if address :count "ge" :comparator "i;ascii-numeric" ["to","cc"] "3" { addflag "t10"; }
