require "fileinto";
if header :is "precedence" ["bulk", "list"] { fileinto "Bulk"; }
elsif exists "list-id" { fileinto "Lists"; }
elsif not exists ["from", "date"] { discard; }
else { keep; }
