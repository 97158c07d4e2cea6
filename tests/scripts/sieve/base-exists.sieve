require ["imap4flags"];

if exists "from" { addflag "t0"; }
if exists ["from","to"] { addflag "t1"; }
if exists ["from","cc","bcc"] { addflag "t2"; }
if exists "x-empty" { addflag "t3"; }
if exists "x-blank" { addflag "t4"; }
if exists "X-SPACE" { addflag "t5"; }
if exists "received" { addflag "t6"; }
if exists "x-folded" { addflag "t7"; }
if exists "no" { addflag "t8"; }
if exists "mime-version" { addflag "t9"; }
if exists "content-type" { addflag "t10"; }
