require ["variables", "imap4flags", "fileinto"];
if header :matches "from" "*<*@*>*" { set "user" "${2}"; set "domain" "${3}"; }
if string :is "${user}@${domain}" "bob@example.net" { addflag "bob"; }
if not string :is "${domain}" "" { set :lower "domain" "${domain}"; addflag "known"; }
if string :matches "${domain}" "example.*" { fileinto "by-${1}"; }
