require ["imap4flags"];

if address :localpart :is ["to","cc"] "ann" { addflag "t0"; }
if address :localpart :is ["to","cc"] "bob" { addflag "t1"; }
if address :localpart :is ["to","cc"] "joerg" { addflag "t2"; }
if address :localpart :is ["to","cc"] "joerg+work" { addflag "t3"; }
if address :localpart :is ["to","cc"] "odd local" { addflag "t4"; }
if address :localpart :is ["to","cc"] "\"odd local\"" { addflag "t5"; }
if address :localpart :is ["to","cc"] "ann+quoted" { addflag "t6"; }
if address :localpart :is ["to","cc"] "MAILER-DAEMON" { addflag "t7"; }
if address :localpart :is ["to","cc"] "mailer-daemon" { addflag "t8"; }
if address :localpart :is ["to","cc"] "" { addflag "t9"; }
if address :localpart :is ["to","cc"] "ann+news" { addflag "t10"; }
if address :localpart :is ["to","cc"] "user+" { addflag "t11"; }
if address :localpart :is ["to","cc"] "+detail" { addflag "t12"; }
if address :localpart :is ["to","cc"] "no" { addflag "t13"; }
if address :localpart :contains "to" "example" { addflag "t14"; }
if address :localpart :contains "to" "n" { addflag "t15"; }
if address :localpart :contains "to" "@" { addflag "t16"; }
if address :localpart :contains "to" "+" { addflag "t17"; }
if address :localpart :contains "to" ".." { addflag "t18"; }
if address :localpart :contains "to" "" { addflag "t19"; }
if address :localpart :matches "to" "*" { addflag "t20"; }
if address :localpart :matches "to" "?*" { addflag "t21"; }
if address :localpart :matches "to" "*@*" { addflag "t22"; }
if address :localpart :matches "to" "*.*" { addflag "t23"; }
if address :localpart :matches "to" "a*n*" { addflag "t24"; }
