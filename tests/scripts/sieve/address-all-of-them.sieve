require ["fileinto"];
if allof (address :all :contains ["to", "cc"] "ann", not address :all :contains ["to", "cc"] "bob") { fileinto "Ann"; }
if address :domain :matches "from" "*.example.org" { fileinto "Sub"; }
