require ["variables", "reject"];

if header :matches "x-long" "*a*b*b*" { set :length "a" "${1}"; set :length "b" "${2}"; set :length "c" "${3}"; set :length "d" "${4}"; }
set "r" "${a} ${b} ${c} ${d}";
reject "is ${r}";
