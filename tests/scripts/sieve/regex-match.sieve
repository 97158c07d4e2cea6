require ["variables", "reject", "regex"];

if header :regex "subject" "^(Re: )?\\[([^]]*)\\] *(.*)$" { set "r" "${0}|${1}|${2}|${3}|${4}"; }
reject "is ${r}";
