require ["imap4flags"];

if address :domain :is ["to","cc"] "example.org" { addflag "t0"; }
if address :domain :is ["to","cc"] "EXAMPLE.NET" { addflag "t1"; }
if address :domain :is ["to","cc"] "[192.0.2.1]" { addflag "t2"; }
if address :domain :is ["to","cc"] "" { addflag "t3"; }
if address :domain :is ["to","cc"] "sub.example.org" { addflag "t4"; }
if address :domain :is ["to","cc"] "xn--nda.example" { addflag "t5"; }
if address :domain :is ["to","cc"] "ö.example" { addflag "t6"; }
if address :domain :is ["to","cc"] "b" { addflag "t7"; }
if address :domain :contains "to" "example" { addflag "t8"; }
if address :domain :contains "to" "n" { addflag "t9"; }
if address :domain :contains "to" "@" { addflag "t10"; }
if address :domain :contains "to" "+" { addflag "t11"; }
if address :domain :contains "to" ".." { addflag "t12"; }
if address :domain :contains "to" "" { addflag "t13"; }
if address :domain :matches "to" "*" { addflag "t14"; }
if address :domain :matches "to" "?*" { addflag "t15"; }
if address :domain :matches "to" "*@*" { addflag "t16"; }
if address :domain :matches "to" "*.*" { addflag "t17"; }
if address :domain :matches "to" "a*n*" { addflag "t18"; }
