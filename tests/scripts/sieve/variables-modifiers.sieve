require ["variables", "reject"];

if header :matches "subject" "*" { set "s" "${1}"; }
set :lower "a" "${s}";
set :upperfirst "b" "${a}";
set :upper "c" "${s}";
set :lowerfirst "d" "${c}";
set :length "e" "${s}";
set :quotewildcard "f" "${s}";
set :upperfirst :lower "g" "${s}";
set :length :upper "h" "${a}";
set "r" "${a}|${b}|${c}|${d}|${e}|${f}|${g}|${h}";
reject "is ${r}";
