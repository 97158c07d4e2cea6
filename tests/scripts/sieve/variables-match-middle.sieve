require ["variables", "reject"];

if header :matches "subject" "*l*o*" { set "r" "${1}|${2}|${3}|${4}|${5}"; }
reject "is ${r}";
