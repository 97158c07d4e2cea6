require ["imap4flags"];

if true { addflag "t0"; }
if false { addflag "t1"; }
if not true { addflag "t2"; }
if not not false { addflag "t3"; }
if allof(true,true) { addflag "t4"; }
if allof(true,false) { addflag "t5"; }
if anyof(false,true) { addflag "t6"; }
if anyof(false,false) { addflag "t7"; }
if allof(exists "to",not exists "cc",size :over 10) { addflag "t8"; }
if anyof(allof(exists "sender",exists "reply-to"),not anyof(exists "to",exists "from")) { addflag "t9"; }
