require ["imap4flags"];

if address :all :is ["to","cc"] "ann@example.org" { addflag "t0"; }
if address :all :is ["to","cc"] "bob@example.net" { addflag "t1"; }
if address :all :is ["to","cc"] "joerg@example.com" { addflag "t2"; }
if address :all :is ["to","cc"] "ann+news@example.org" { addflag "t3"; }
if address :all :is ["to","cc"] "ann@[192.0.2.1]" { addflag "t4"; }
if address :all :is ["to","cc"] "odd local@example.org" { addflag "t5"; }
if address :all :is ["to","cc"] "\"odd local\"@example.org" { addflag "t6"; }
if address :all :is ["to","cc"] "ann+quoted@example.org" { addflag "t7"; }
if address :all :is ["to","cc"] "MAILER-DAEMON" { addflag "t8"; }
if address :all :is ["to","cc"] "" { addflag "t9"; }
if address :all :is ["to","cc"] "user+@example.org" { addflag "t10"; }
if address :all :is ["to","cc"] "carol@sub.example.org" { addflag "t11"; }
if address :all :is ["to","cc"] "ö@ö.example" { addflag "t12"; }
if address :all :contains "to" "example" { addflag "t13"; }
if address :all :contains "to" "n" { addflag "t14"; }
if address :all :contains "to" "@" { addflag "t15"; }
if address :all :contains "to" "+" { addflag "t16"; }
if address :all :contains "to" ".." { addflag "t17"; }
if address :all :contains "to" "" { addflag "t18"; }
if address :all :matches "to" "*" { addflag "t19"; }
if address :all :matches "to" "?*" { addflag "t20"; }
if address :all :matches "to" "*@*" { addflag "t21"; }
if address :all :matches "to" "*.*" { addflag "t22"; }
if address :all :matches "to" "a*n*" { addflag "t23"; }
