require ["imap4flags"];

if address :localpart :is ["from"] "ann" { addflag "t0"; }
if address :localpart :is ["from"] "bob" { addflag "t1"; }
if address :localpart :is ["from"] "joerg" { addflag "t2"; }
if address :localpart :is ["from"] "joerg+work" { addflag "t3"; }
if address :localpart :is ["from"] "odd local" { addflag "t4"; }
if address :localpart :is ["from"] "\"odd local\"" { addflag "t5"; }
if address :localpart :is ["from"] "ann+quoted" { addflag "t6"; }
if address :localpart :is ["from"] "MAILER-DAEMON" { addflag "t7"; }
if address :localpart :is ["from"] "mailer-daemon" { addflag "t8"; }
if address :localpart :is ["from"] "" { addflag "t9"; }
if address :localpart :is ["from"] "ann+news" { addflag "t10"; }
if address :localpart :is ["from"] "user+" { addflag "t11"; }
if address :localpart :is ["from"] "+detail" { addflag "t12"; }
if address :localpart :is ["from"] "no" { addflag "t13"; }
if address :localpart :contains "from" "example" { addflag "t14"; }
if address :localpart :contains "from" "n" { addflag "t15"; }
if address :localpart :contains "from" "@" { addflag "t16"; }
if address :localpart :contains "from" "+" { addflag "t17"; }
if address :localpart :contains "from" ".." { addflag "t18"; }
if address :localpart :contains "from" "" { addflag "t19"; }
if address :localpart :matches "from" "*" { addflag "t20"; }
if address :localpart :matches "from" "?*" { addflag "t21"; }
if address :localpart :matches "from" "*@*" { addflag "t22"; }
if address :localpart :matches "from" "*.*" { addflag "t23"; }
if address :localpart :matches "from" "a*n*" { addflag "t24"; }
