require ["imap4flags", "variables", "fileinto"];
setflag "f" ["\\Answered", "x"];
addflag "f" "y x";
removeflag "f" "X";
set "g" "\\Draft z";
if hasflag :matches ["f", "g"] "?" { fileinto :flags ["${f}", "${g}"] "Marked"; }
