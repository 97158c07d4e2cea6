require ["variables", "reject"];

if header :matches "subject" "*e*" { set "a" "${1}"; }
if header :matches "nothing" "*x*" { set "a" "wrong"; }
if header :contains "subject" "e" { set "b" "${1}"; }
set "r" "${a}|${b}|${2}";
reject "is ${r}";
