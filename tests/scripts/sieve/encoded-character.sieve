require ["encoded-character", "imap4flags"];
if header :contains "subject" "${hex:48 65 6c}" { addflag "a"; }
if header :contains "subject" "${unicode:e4}" { addflag "b"; }
if header :contains "subject" "${unicode:0000DC}ber" { addflag "c"; }
if header :contains "subject" "${hex:}" { addflag "d"; }
if header :contains "subject" "${hex:4}" { addflag "e"; }
if header :contains "subject" "$${hex:7b}dollar" { addflag "f"; }
if header :contains "subject" "${HEX: 24 }" { addflag "g"; }
if header :contains "subject" "${unicode:}" { addflag "h"; }
if header :contains "subject" "${hex:zz}" { addflag "i"; }
if header :contains "subject" "${hex:4b c3 a4}" { addflag "j"; }
