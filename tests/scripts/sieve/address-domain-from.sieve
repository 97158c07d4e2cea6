require ["imap4flags"];

if address :domain :is ["from"] "example.org" { addflag "t0"; }
if address :domain :is ["from"] "EXAMPLE.NET" { addflag "t1"; }
if address :domain :is ["from"] "[192.0.2.1]" { addflag "t2"; }
if address :domain :is ["from"] "" { addflag "t3"; }
if address :domain :is ["from"] "sub.example.org" { addflag "t4"; }
if address :domain :is ["from"] "xn--nda.example" { addflag "t5"; }
if address :domain :is ["from"] "ö.example" { addflag "t6"; }
if address :domain :is ["from"] "b" { addflag "t7"; }
if address :domain :contains "from" "example" { addflag "t8"; }
if address :domain :contains "from" "n" { addflag "t9"; }
if address :domain :contains "from" "@" { addflag "t10"; }
if address :domain :contains "from" "+" { addflag "t11"; }
if address :domain :contains "from" ".." { addflag "t12"; }
if address :domain :contains "from" "" { addflag "t13"; }
if address :domain :matches "from" "*" { addflag "t14"; }
if address :domain :matches "from" "?*" { addflag "t15"; }
if address :domain :matches "from" "*@*" { addflag "t16"; }
if address :domain :matches "from" "*.*" { addflag "t17"; }
if address :domain :matches "from" "a*n*" { addflag "t18"; }
