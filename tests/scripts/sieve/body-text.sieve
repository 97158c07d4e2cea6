require ["imap4flags", "body"];

if body :text :contains "secret" { addflag "t0"; }
if body :text :contains "words" { addflag "t1"; }
if body :text :contains "soft break ä" { addflag "t2"; }
if body :text :contains "über" { addflag "t3"; }
if body :text :contains "<b>" { addflag "t4"; }
if body :text :contains "a secret & more" { addflag "t5"; }
if body :text :contains "preamble" { addflag "t6"; }
if body :text :contains "epilogue" { addflag "t7"; }
if body :text :contains "hidden" { addflag "t8"; }
if body :text :contains "inner words" { addflag "t9"; }
if body :text :contains "VGhpcy" { addflag "t10"; }
if body :text :contains "This is secret text" { addflag "t11"; }
if body :text :contains "bits" { addflag "t12"; }
if body :text :contains "line" { addflag "t13"; }
if body :text :contains "" { addflag "t14"; }
if body :contains "secret" { addflag "t15"; }
