require ["fileinto", "variables", "mailbox"];
if header :matches "list-id" "*<*.*>*" { set :lower "list" "${2}"; fileinto :create "lists/${list}"; stop; }
if header :matches "subject" "[*]*" { set :lower "list" "${1}"; fileinto :create "lists/${list}"; stop; }
