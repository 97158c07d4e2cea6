require "copy";
redirect :copy "one@example.net";
if header :contains "from" "bob" { redirect "two@example.net"; }
