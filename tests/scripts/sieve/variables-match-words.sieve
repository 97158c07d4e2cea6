require ["variables", "reject"];

if header :matches "subject" "* * *" { set "r" "${3}|${2}|${1}|${0}|${4}"; }
reject "is ${r}";
