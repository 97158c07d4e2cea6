require ["fileinto", "imap4flags"];
if header :is "subject" "\"quoted\" 'words'" { addflag "a"; }
if header :contains "x-path" "\\" { addflag "b"; }
if header :contains "x-path" "a\/b" { addflag "c"; }
if header :contains "subject" "" { addflag "d"; }
if header :is "subject" "" { addflag "e"; }
if header :contains ["subject", "nothing"] ["xyz", "[list]"] { addflag "f"; }
IF NOT HEADER :Contains "SUBJECT" "e" { AddFlag "g"; }
