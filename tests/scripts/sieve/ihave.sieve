require ["ihave", "fileinto"];
if ihave "no-such-thing" { nosuchaction "x"; }
elsif ihave ["fileinto", "regex"] { if header :regex "subject" "^[Hh]ello" { fileinto "Hello"; } }
if not ihave "vnd.nobody.nothing" { keep; }
