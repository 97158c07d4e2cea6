require ["imap4flags"];

if size :over 0 { addflag "t0"; }
if size :over 100 { addflag "t1"; }
if size :over 500 { addflag "t2"; }
if size :over 1K { addflag "t3"; }
if size :over 2k { addflag "t4"; }
if size :under 1 { addflag "t5"; }
if size :under 300 { addflag "t6"; }
if size :under 700 { addflag "t7"; }
if size :under 1500 { addflag "t8"; }
if size :under 1M { addflag "t9"; }
if size :under 1G { addflag "t10"; }
