require "fileinto";
if address :is :domain "from" "example.net" { fileinto "Net"; stop; }
fileinto "Rest";
stop;
discard;
