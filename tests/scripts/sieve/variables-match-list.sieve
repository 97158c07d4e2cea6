require ["variables", "reject"];

if header :matches "subject" "[*] *" { set "list" "${1}"; set "rest" "${2}"; }
set "r" "<${list}> <${rest}>";
reject "is ${r}";
