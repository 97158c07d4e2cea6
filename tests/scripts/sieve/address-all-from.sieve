require ["imap4flags"];

if address :all :is ["from"] "ann@example.org" { addflag "t0"; }
if address :all :is ["from"] "bob@example.net" { addflag "t1"; }
if address :all :is ["from"] "joerg@example.com" { addflag "t2"; }
if address :all :is ["from"] "ann+news@example.org" { addflag "t3"; }
if address :all :is ["from"] "ann@[192.0.2.1]" { addflag "t4"; }
if address :all :is ["from"] "odd local@example.org" { addflag "t5"; }
if address :all :is ["from"] "\"odd local\"@example.org" { addflag "t6"; }
if address :all :is ["from"] "ann+quoted@example.org" { addflag "t7"; }
if address :all :is ["from"] "MAILER-DAEMON" { addflag "t8"; }
if address :all :is ["from"] "" { addflag "t9"; }
if address :all :is ["from"] "user+@example.org" { addflag "t10"; }
if address :all :is ["from"] "carol@sub.example.org" { addflag "t11"; }
if address :all :is ["from"] "ö@ö.example" { addflag "t12"; }
if address :all :contains "from" "example" { addflag "t13"; }
if address :all :contains "from" "n" { addflag "t14"; }
if address :all :contains "from" "@" { addflag "t15"; }
if address :all :contains "from" "+" { addflag "t16"; }
if address :all :contains "from" ".." { addflag "t17"; }
if address :all :contains "from" "" { addflag "t18"; }
if address :all :matches "from" "*" { addflag "t19"; }
if address :all :matches "from" "?*" { addflag "t20"; }
if address :all :matches "from" "*@*" { addflag "t21"; }
if address :all :matches "from" "*.*" { addflag "t22"; }
if address :all :matches "from" "a*n*" { addflag "t23"; }
