require ["variables", "reject", "regex"];

if address :regex "from" "^([^+@]*)(\\+([^@]*))?@(.*)$" { set "r" "${1};${2};${3};${4}"; }
reject "is ${r}";
