require ["imap4flags", "body"];

if body :raw :contains "secret" { addflag "t0"; }
if body :raw :contains "VGhpcyBpcyBzZWNyZXQ" { addflag "t1"; }
if body :raw :contains "=72et" { addflag "t2"; }
if body :raw :contains "--b0" { addflag "t3"; }
if body :raw :contains "Content-Type" { addflag "t4"; }
if body :raw :contains "preamble" { addflag "t5"; }
if body :raw :contains "epilogue" { addflag "t6"; }
if body :raw :contains "<b>" { addflag "t7"; }
if body :raw :contains "the end" { addflag "t8"; }
if body :raw :contains "

" { addflag "t9"; }
if body :raw :contains "" { addflag "t10"; }
if body :raw :matches "*secret*" { addflag "t11"; }
if body :raw :is "" { addflag "t12"; }
