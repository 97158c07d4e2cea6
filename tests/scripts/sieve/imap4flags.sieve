require ["imap4flags", "fileinto", "variables", "relational", "comparator-i;ascii-numeric"];
setflag ["\\Seen", "$Work"];
addflag "\\Flagged one";
removeflag ["$work"];
if hasflag "\\seen" { addflag "had"; }
if hasflag :contains "fla" { addflag "c"; }
if hasflag :count "ge" :comparator "i;ascii-numeric" "3" { addflag "many"; }
if exists "cc" { fileinto :flags "\\Deleted" "Trash"; }
if exists "sender" { keep :flags ["a", "B"]; }
addflag "mine" "x";
if hasflag "mine" "x" { addflag "var"; }
