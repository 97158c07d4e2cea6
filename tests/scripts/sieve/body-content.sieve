require ["imap4flags", "body"];

if body :content "text" :contains "secret" { addflag "t0"; }
if body :content "text/plain" :contains "secret" { addflag "t1"; }
if body :content "text/html" :contains "secret" { addflag "t2"; }
if body :content "text/html" :contains "<b>" { addflag "t3"; }
if body :content "application" :contains "secret" { addflag "t4"; }
if body :content "application/pdf" :contains "secret" { addflag "t5"; }
if body :content "multipart" :contains "preamble" { addflag "t6"; }
if body :content "multipart" :contains "epilogue" { addflag "t7"; }
if body :content "message/rfc822" :contains "Subject: inner" { addflag "t8"; }
if body :content "" :contains "secret" { addflag "t9"; }
if body :content "image/png" :contains "" { addflag "t10"; }
if body :content "nonsense" :contains "secret" { addflag "t11"; }
if body :content "text" :contains "Käse" { addflag "t12"; }
if body :content "text" :contains "über" { addflag "t13"; }
if body :content ["text/html","message"] :contains "inner" { addflag "t14"; }
if body :content "text/" :contains "secret" { addflag "t15"; }
if body :content "text/plain/x" :contains "secret" { addflag "t16"; }
