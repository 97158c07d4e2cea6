require ["variables", "reject", "editheader"];

addheader "X-New" "one";
addheader :last "X-New" "two";
addheader "Subject" "first";
if header :matches "subject" "*" { set "s" "${1}"; }
if header :matches "x-new" "*" { set "a" "${1}"; }
if header :contains "x-new" "two" { set "b" "yes"; }
set "r" "${s}|${a}|${b}";
reject "is ${r}";
