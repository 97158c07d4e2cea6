require ["imap4flags", "date", "relational"];

if date :value "ge" :originalzone "date" "hour" "09" { addflag "t0"; }
if date :value "lt" :originalzone "date" "hour" "18" { addflag "t1"; }
if date :value "ge" :originalzone "date" "date" "2025-04-01" { addflag "t2"; }
if date :value "eq" :originalzone "date" "weekday" "0" { addflag "t3"; }
if date :value "le" :originalzone "date" "year" "1999" { addflag "t4"; }
if date :value "ge" :originalzone "date" "julian" "60767" { addflag "t5"; }
if date :is :zone "+0200" "date" "day" "02" { addflag "t6"; }
if date "received" "year" "2025" { addflag "t7"; }
if date :contains :zone "+0000" "date" "std11" "Apr" { addflag "t8"; }
if currentdate :value "ge" "year" "2024" { addflag "t9"; }
if currentdate :matches "weekday" "?" { addflag "t10"; }
