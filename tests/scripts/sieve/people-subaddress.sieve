require ["fileinto", "envelope", "subaddress", "variables", "mailbox"];
if envelope :detail :matches "to" "?*" { set :lower :upperfirst "name" "${1}${2}"; fileinto :create "${name}"; }
