require ["imap4flags", "environment"];

if environment :matches "name" "?*" { addflag "t0"; }
if environment :is "location" ["MTA","MDA","MS","MUA"] { addflag "t1"; }
if environment :is "phase" ["pre","during","post"] { addflag "t2"; }
if environment :matches "no.such.item" "*" { addflag "t3"; }
if environment :contains "no.such.item" "" { addflag "t4"; }
if not environment :is "name" "" { addflag "t5"; }
