if address :is "from" "ann@example.org" { redirect "ann-copy@example.net"; }
if address :domain :is ["to", "cc"] "sub.example.org" { redirect "sub@example.net"; redirect "sub@example.net"; keep; }
