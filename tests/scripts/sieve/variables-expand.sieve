require ["variables", "reject"];

set "a" "x";
set "aB_1" "y";
set "r" "${A} ${Ab_1} ${a b} $${a} ${} ${a$} ${unknown}|${a}${a}|$a {a} ${1a} ${01} ${";
reject "is ${r}";
