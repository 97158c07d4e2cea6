require ["duplicate", "imap4flags"];
if duplicate { addflag "a"; }
if duplicate :handle "h" :header "x-no-such-field" { addflag "b"; }
