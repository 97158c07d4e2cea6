require ["variables", "reject"];

if header :matches "subject" "*" { set "r" "${1}"; }
reject "is ${r}";
