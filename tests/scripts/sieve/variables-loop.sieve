require ["variables", "reject"];

set "x" "ab";
set "x" "${x}${x}";
set "x" "${x}${x}";
set "x" "${x}${x}";
set "x" "${x}${x}";
set "x" "${x}${x}";
set :length "l" "${x}";
set "r" "${l} ${x}";
reject "is ${r}";
