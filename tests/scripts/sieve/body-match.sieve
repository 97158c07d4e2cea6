require ["variables", "reject", "body"];

if body :text :matches "*secret*" { set "r" "${1}"; }
if body :content "text/plain" :matches "*s?cret *" { set "r" "${r}|${2}"; }
reject "is ${r}";
